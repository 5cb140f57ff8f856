# pyright: strict, reportUnnecessaryIsInstance=false
"""Named methods: which views, how they are folded, and which kind of assignment.

A published method is a few lines here. A method of your own is a `Method` given to `match`, or a
function that makes one, registered under a name (`saematch.registry`).
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from saematch.errors import MatchError
from saematch.matching.views import VIEWS, View, parse_views
from saematch.registry import Registry
from saematch.sae.folding import FOLDS, Fold
from saematch.sae.sae import SAE

Kind = Literal["one-to-one", "many-to-one"]

EXAMPLE = "unit-decoder:1,unit-encoder:0.5"
CANDIDATES = 5  # kept per feature, unless said otherwise


@dataclass(frozen=True)
class Method:
    """How two SAEs are matched.

    `score_ij = sum_v w_v <x_i^v, y_j^v>` over `views`, or with `distance` minus the weighted
    squared distance, `sum_v w_v (2 <x, y> - |x|^2 - |y|^2)`.
    """

    name: str
    views: tuple[View, ...]
    fold: Fold | Literal["auto"] = "none"
    distance: bool = False
    kind: Kind = "one-to-one"
    top_k: int = 1  # many-to-one: targets kept per feature
    confirm: tuple[View, ...] = ()  # views of a second assignment that must give the same partner
    cutoff: float | None = None  # with confirm: the least decoder and encoder cosine of a match
    expects: bool = False  # the score is the correlation to expect: see expected_correlation.py

    def __post_init__(self) -> None:
        if not self.views:
            raise MatchError(f"method {self.name!r} has no views")
        if self.fold != "auto" and self.fold not in FOLDS:
            allowed = ", ".join(("auto", *FOLDS))
            raise MatchError(f"no folding is called {self.fold!r}; there are {allowed}")
        if self.distance and any(view.weight < 0 for view in self.views):
            raise MatchError("a squared distance needs views of positive weight")
        if self.cutoff is not None and not -1 <= self.cutoff <= 1:
            raise MatchError(f"cutoff is {self.cutoff}; it is a cosine, from -1 to 1")
        if self.top_k < 1:
            raise MatchError(f"top_k is {self.top_k}; it must be at least 1")

    @property
    def needs_activations(self) -> bool:
        """Whether it looks at what features do on text."""
        return self.expects or any(view.needs_activations for view in (*self.views, *self.confirm))

    @property
    def carried(self) -> bool:
        """Whether it compares directions that the model carries, and cannot do without."""
        return any(view.carried for view in (*self.views, *self.confirm))

    @property
    def learns(self) -> bool:
        """Whether a Jacobian is of use to it."""
        return self.carried or self.expects

    @property
    def scores_lengths(self) -> bool:
        """Whether scores depend on the lengths of vectors, and not on their directions alone."""
        directed = [view for view in self.views if not VIEWS[view.vectors].single]
        return bool(directed) and (self.distance or not all(view.normalised for view in directed))

    def kept(self, candidates: int | None) -> int:
        """How many candidates to keep per feature, where `candidates` were asked for or none."""
        if candidates is None:
            return self.top_k if self.top_k > 1 else CANDIDATES
        if candidates < self.top_k:
            raise MatchError(f"candidates is {candidates}, less than top_k, {self.top_k}")
        return candidates

    def options(self, **others: Any) -> dict[str, Any]:
        """The method as plain values, with `others` beside them, for a run."""

        def words(views: tuple[View, ...]) -> list[str]:
            # not str(view): it rounds the weight
            return [f"{view.name}:{view.weight!r}" for view in views]

        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields |= {"views": words(self.views), "confirm": words(self.confirm)}
        return {"method": fields.pop("name"), **fields, **others}

    @classmethod
    def of_options(cls, options: Mapping[str, Any]) -> Method:
        """The method that `options` were made of; what they lack is as by default.

        Raises:
            MatchError: they are not those of a method.
        """
        known = {f.name: options[f.name] for f in dataclasses.fields(cls) if f.name in options}
        for name in ("views", "confirm"):
            words = known.get(name, [])
            known[name] = parse_views(",".join(words)) if words else ()
        return cls(options.get("method", ""), **known)

    def __str__(self) -> str:
        return f"{self.name} ({' + '.join(map(str, self.views))})"


def sae_match(
    fold: Fold | Literal["auto"] = "auto",
    terms: Literal["encoder", "decoder", "both"] = "both",
    bias: bool = False,
    encoder_weight: float = 1.0,
    decoder_weight: float = 1.0,
    bias_weight: float = 1.0,
) -> Method:
    """SAE Match (Balagansky et al., 2025): least squared distance of folded parameters.

    The paper names the terms differently in its sections 4 and 6 and gives no weights, so terms,
    encoder bias and weights are options. `fold="auto"` folds by threshold where both SAEs have a
    threshold per feature, else by decoder norm.
    """
    chosen = {"encoder": ("encoder",), "decoder": ("decoder",), "both": ("decoder", "encoder")}
    if terms not in chosen:
        raise MatchError(f"terms is {terms!r}; it must be one of {', '.join(chosen)}")
    weights = {"encoder": encoder_weight, "decoder": decoder_weight}
    views = [View(term, weight=weights[term]) for term in chosen[terms]]
    if bias:
        views.append(View("encoder-bias", weight=bias_weight))
    return Method("sae-match", tuple(views), fold=fold, distance=True)


def cosine(view: Literal["decoder", "encoder"] = "decoder") -> Method:
    """One-to-one assignment of largest total cosine."""
    return Method("cosine", (View(view, normalised=True),))


def feature_flow(top_k: int = 1) -> Method:
    """Feature Flow (Laptev et al., 2025): for each feature the target of largest decoder cosine."""
    views = (View("decoder", normalised=True),)
    return Method("feature-flow", views, kind="many-to-one", top_k=top_k)


def paulo_belrose(cutoff: float = 0.7) -> Method:
    """Shared features across seeds (Paulo & Belrose, 2025).

    One assignment on unit decoder rows and one on unit encoder columns; a feature is shared when
    both give it the same partner and both cosines are at least `cutoff`, else it is an orphan.
    """
    decoder, encoder = View("decoder", normalised=True), View("encoder", normalised=True)
    return Method("paulo-belrose", (decoder,), confirm=(encoder,), cutoff=cutoff)


def pearson(kind: Kind = "one-to-one", top_k: int = 1) -> Method:
    """Largest Pearson correlation of activations, over all tokens, zeros included.

    Balcells et al. (2024) take the best target of each feature, which is `kind="many-to-one"`.
    """
    return Method("pearson", (View("activation", normalised=True),), kind=kind, top_k=top_k)


def carried(kind: Kind = "one-to-one", top_k: int = 1) -> Method:
    """Weights compared across the model: its mean Jacobian carries what features write and read.

    The mean of two cosines: the earlier SAE's decoder carried forward with the later one's, the
    later SAE's encoder pulled back with the earlier one's. See `saematch.models.jacobian`.
    """
    parts = ("carried-decoder", "carried-encoder")
    views = tuple(View(part, normalised=True, weight=0.5) for part in parts)
    return Method("carried", views, kind=kind, top_k=top_k)


def fused(kind: Kind = "one-to-one", top_k: int = 1) -> Method:
    """Weights and activations together: the largest expected correlation.

    What decoder and encoder cosine foretell, plain and where the model's Jacobian is at hand
    carried by it, and what the tokens at hand show, the more of the latter the oftener two features
    fired: see `saematch.matching.expected_correlation`.
    """
    views = tuple(View(part, normalised=True, weight=0.5) for part in ("decoder", "encoder"))
    return Method("fused", views, kind=kind, top_k=top_k, expects=True)


def weighted(
    views: tuple[View, ...] | str, fold: Fold = "none", kind: Kind = "one-to-one"
) -> Method:
    """Any weighted sum of views, or text for them such as `unit-decoder:1,unit-encoder:0.5`."""
    views = parse_views(views) if isinstance(views, str) else views
    if not all(isinstance(view, View) for view in views):
        raise MatchError(f"views is {views!r}; give View objects, or {EXAMPLE!r}")
    return Method("weighted", tuple(views), fold=fold, kind=kind)


METHODS: Registry[Callable[..., Method]] = Registry(
    "method",
    {
        "sae-match": sae_match,
        "cosine": cosine,
        "feature-flow": feature_flow,
        "paulo-belrose": paulo_belrose,
        "carried": carried,
        "pearson": pearson,
        "fused": fused,
        "weighted": weighted,
    },
    MatchError,
)


def resolve(method: str | Method, **options: Any) -> Method:
    """The method of that name with `options`; a `Method` is returned as it is.

    Raises:
        MatchError: no such method, or an option that it does not have.
    """
    if isinstance(method, Method):
        if options:
            raise MatchError(f"options {', '.join(options)} go with a method's name, not a Method")
        return method
    make = METHODS[method]
    known = inspect.signature(make).parameters
    for name in options:
        if name not in known:
            raise MatchError(
                f"method {method!r} has no option {name!r}; it has {', '.join(known) or 'none'}"
            )
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in options:
            raise MatchError(f"method {method!r} needs {name}, such as {EXAMPLE!r}")
    return make(**options)


def resolve_fold(fold: Fold | Literal["auto"], a: SAE, b: SAE) -> Fold:
    """What `auto` means for two SAEs: both must be folded alike to be in one unit."""
    if fold != "auto":
        return fold
    each = a.threshold_kind == b.threshold_kind == "per feature"
    return "threshold" if each else "decoder-norm"
