"""A Hugging Face language model, read and changed at hook points."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from saematch.errors import SaematchError
from saematch.models.cuts import Cut, Knife
from saematch.models.hook_points import Place, family_of, resolve, site_of, trunk_of
from saematch.models.resuming import resuming
from saematch.sae.sae import SAE, Site

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# the value at a hook point, and those at earlier hook points -> the value that replaces it
Replacement = Callable[[Tensor, Mapping[str, Tensor]], Tensor]


class _AllSeen(Exception):  # noqa: N818
    """Ends a forward pass once everything requested has been read."""


_ONE_TOKEN = torch.zeros(1, 1, dtype=torch.int64)


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A model, its tokenizer, and ways to read and replace values at its hook points.

    Token ids are padded on the right. A mask is true for tokens and false for padding, whose values
    are meaningless; without a mask all are tokens.
    """

    model: PreTrainedModel  # in evaluation mode
    tokenizer: PreTrainedTokenizerBase
    name: str

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def causal(self) -> bool:
        """Whether it predicts next tokens; an encoder only has activations."""
        config: Any = self.model.config
        fills_in = is_masked(config) and not getattr(config, "is_decoder", False)
        return not fills_in and self.model.get_output_embeddings() is not None

    @property
    def max_tokens(self) -> int | None:
        """The longest example that it can read, BOS included."""
        config: Any = self.model.config
        positions = getattr(config.get_text_config(), "max_position_embeddings", None)
        return None if positions is None else positions - family_of(self.model).unused_positions

    def site(self, site: Site | str) -> Place:
        """The place of a hook point, where its value can be read and replaced.

        Raises:
            SaematchError: the model has no such hook point; the message lists those it has.
        """
        return resolve(self.model, site)

    def width(self, site: Site | str) -> int:
        """The number of dimensions at a hook point, from a run over one token."""
        (value,) = self.run(_ONE_TOKEN, [site]).values()
        return value.shape[-1]

    def hooks_of(self, saes: Mapping[str, SAE]) -> dict[str, str]:
        """The hook that each SAE reads, by the SAE's name.

        Raises:
            SaematchError: an SAE whose hook point is unknown, not in the model, or of another width
                than the SAE.
        """
        hooks = {name: site_of(sae, name).hook for name, sae in saes.items()}
        values = self.run(_ONE_TOKEN, sorted(set(hooks.values()))) if hooks else {}
        for name, sae in saes.items():
            width = values[hooks[name]].shape[-1]
            if width != sae.d_in:
                trained = f" ({sae.conventions.model})" if sae.conventions.model else ""
                raise SaematchError(
                    f"{name} reads {sae.d_in} dimensions, but {hooks[name]} of {self.name} has "
                    f"{width}: an SAE of another model{trained}, or of another site"
                )
        return hooks

    @torch.no_grad()
    def run(
        self,
        ids: Int[Tensor, "batch seq"],
        sites: Sequence[Site | str],
        mask: Bool[Tensor, "batch seq"] | None = None,
        replace: Mapping[str, Replacement] | None = None,
    ) -> dict[str, Float[Tensor, "batch seq d"]]:
        """The values at `sites` in float32, by hook; nothing after the last of them is computed.

        The residual stream of the last layer is its block's output, before the final norm.

        Args:
            ids: token ids, padded on the right.
            sites: hook points.
            mask: true for tokens.
            replace: as of `losses`; at one hook point a value is read before it is replaced.

        Raises:
            SaematchError: a hook point that the model does not have, or that text never reaches.
        """
        places = {place.hook: place for place in map(self.site, sites)}
        found: dict[str, Tensor] = {}

        def seen(hook: str, value: Tensor) -> None:
            found[hook] = value.to(torch.float32, copy=True)
            if len(found) == len(places):
                raise _AllSeen

        with contextlib.ExitStack() as hooks:
            for hook, place in places.items():
                hooks.callback(place.attach(lambda value, h=hook: seen(h, value)).remove)
            with contextlib.suppress(_AllSeen), self.changed(replace or {}):
                trunk_of(self.model)(**self._inputs(ids, mask))
        missing = [hook for hook in places if hook not in found]
        if missing:
            raise SaematchError(
                f"{', '.join(missing)}: no text passes there on its way through {self.name}'s "
                "layers (a head, or another part of the model)"
            )
        return found

    @torch.no_grad()
    def losses(
        self,
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "batch seq"] | None = None,
        replace: Mapping[str, Replacement] | None = None,
        read: Sequence[str] = (),
    ) -> Float[Tensor, "batch before"]:
        """Cross-entropy in nats of each next token, with values replaced at some hook points.

        Args:
            ids: token ids, padded on the right.
            mask: true for tokens.
            replace: by hook, a function of the value there, float32 (batch, seq, d), and of the
                float32 values at all hook points in `read` and `replace` that came earlier in this
                pass, by hook, each before its own replacement. It returns the new value, which
                later layers see.
            read: further hook points whose values the functions are given.

        Returns:
            float32 (batch, seq - 1): the loss of token t + 1 given those up to t, NaN where token
            t + 1 is padding.

        Raises:
            SaematchError: a hook point that the model does not have or that text never reaches; a
                model without next-token predictions; a new value of another shape.
        """
        self._check_causal()
        with self.changed(replace or {}, read):
            inputs = self._inputs(ids, mask)
            logits = self.model(**inputs).logits
        return _next_token_losses(logits, inputs["input_ids"], inputs["attention_mask"].bool())

    @torch.no_grad()
    def log_probabilities(
        self,
        ids: Int[Tensor, "batch seq"],
        where: Bool[Tensor, "batch seq"],
        mask: Bool[Tensor, "batch seq"] | None = None,
        replace: Mapping[str, Replacement] | None = None,
    ) -> Float[Tensor, "tokens vocabulary"]:
        """Logarithms of the predictions made at the tokens that are true in `where`, float32.

        Args:
            ids: token ids, padded on the right.
            where: the tokens at which predictions are wanted.
            mask: true for tokens.
            replace: as of `losses`.

        Raises:
            SaematchError: as of `losses`.
        """
        self._check_causal()
        # the head is most of a small model: only columns in which something is wanted go there
        columns = where.any(0).nonzero()[:, 0]
        kept = "logits_to_keep" in inspect.signature(self.model.forward).parameters
        only = {"logits_to_keep": columns} if kept else {}
        with self.changed(replace or {}):
            logits = self.model(**self._inputs(ids, mask), **only).logits
        return logits[where[:, columns] if kept else where].float().log_softmax(-1)

    def resuming(self, site: Site | str) -> contextlib.AbstractContextManager[None]:
        """Within the block, layers before `site` run only in the first pass.

        For passes over the same `ids` and `mask` that change nothing before `site`. The first pass
        may be of any method here that runs as far as `site`.
        """
        return resuming(self.model, self.site(site))

    def divergence(
        self,
        ids: Int[Tensor, "batch seq"],
        mask: Bool[Tensor, "batch seq"] | None,
        site: Site | str,
        value: Float[Tensor, "tokens d"],
        where: Bool[Tensor, "batch seq"],
    ) -> tuple[Float[Tensor, " tokens"], Float[Tensor, "tokens d"]]:
        """How much `value` at a hook point changes predictions, and the gradient of that.

        Args:
            ids: token ids, padded on the right.
            mask: true for tokens.
            site: the hook point.
            value: the new values at the tokens that are true in `where`, row by row.
            where: the tokens to replace; predictions made at them are compared.

        Returns:
            KL divergence in nats of the predictions at those tokens from the model's own, and the
            gradient of its sum with respect to `value`, both float32. The model's weights get no
            gradients.

        Raises:
            SaematchError: as of `losses`.
        """
        self._check_causal()
        hook, inputs = self.site(site).hook, self._inputs(ids, mask)
        value = value.detach().float().requires_grad_()

        def put(there: Tensor, _: Mapping[str, Tensor]) -> Tensor:
            return there.index_put((where,), value)

        with torch.no_grad():
            own = self.model(**inputs).logits[where].float().log_softmax(-1)
        with _constant(self.model), torch.enable_grad(), self.changed({hook: put}, ()):
            new = self.model(**inputs).logits[where].float().log_softmax(-1)
            far = (own.exp() * (own - new)).sum(-1)
            (slope,) = torch.autograd.grad(far.sum(), value)
        return far.detach(), slope

    @contextlib.contextmanager
    def derivatives(
        self, ids: Int[Tensor, "batch seq"], source: Site | str, targets: Sequence[str]
    ) -> Iterator[tuple[Float[Tensor, "batch seq d"], dict[str, Float[Tensor, "batch seq d"]]]]:
        """The value at `source` and those at `targets`, by hook, differentiable with respect to it.

        Within the block the model's weights have no gradients; nothing after the last target is
        computed.

        Raises:
            SaematchError: a hook point that the model does not have, or that does not depend on the
                source.
        """
        starts: list[Tensor] = []
        values: dict[str, Tensor] = {}

        def begin(value: Tensor) -> Tensor:
            starts.append(value.detach().clone().requires_grad_())
            return starts[-1]

        def seen(hook: str, value: Tensor) -> None:
            values[hook] = value
            if len(values) == len(targets):
                raise _AllSeen

        with _constant(self.model), torch.enable_grad(), contextlib.ExitStack() as hooks:
            hooks.callback(self.site(source).attach(begin).remove)
            for hook in targets:
                hooks.callback(self.site(hook).attach(lambda value, h=hook: seen(h, value)).remove)
            with contextlib.suppress(_AllSeen):
                trunk_of(self.model)(**self._inputs(ids, None))
            after = [hook for hook in targets if hook in values and values[hook].requires_grad]
            if not starts or len(after) < len(targets):
                missing = ", ".join(hook for hook in targets if hook not in after)
                raise SaematchError(
                    f"{missing or source}: nothing at {source} of {self.name} changes what arrives "
                    "there; a Jacobian goes from an earlier hook point to a later one"
                )
            yield starts[0], values

    def cut(
        self,
        ids: Int[Tensor, "batch seq"],
        points: Mapping[str, Site | str],
        values: Mapping[str, Float[Tensor, "batch seq _"]] | None = None,
    ) -> Cut:
        """A pass in which the value at each point starts anew: see `Cut`.

        The model's weights get no gradients.

        Args:
            ids: token ids, without padding.
            points: hook points by names of your own; of several at one place, the first comes
                first.
            values: what leaves some of the points, by name; elsewhere what arrived.

        Raises:
            SaematchError: a hook point that the model does not have or that text never reaches; a
                model without next-token predictions.
        """
        self._check_causal()
        knife = Knife(values or {})
        kept = "logits_to_keep" in inspect.signature(self.model.forward).parameters
        only = {"logits_to_keep": 1} if kept else {}
        with _constant(self.model), torch.enable_grad(), contextlib.ExitStack() as hooks:
            for point, site in points.items():
                hooks.callback(knife.at(point, self.site(site)).remove)
            logits = self.model(**self._inputs(ids, None), **only).logits
        missing = [str(site) for point, site in points.items() if point not in knife.arrived]
        if missing:
            raise SaematchError(
                f"{', '.join(missing)}: no text passes there on its way through {self.name}"
            )
        return Cut(knife.arrived, knife.leaving, logits[:, -1])

    @contextlib.contextmanager
    def changed(
        self, replace: Mapping[str, Replacement], read: Sequence[str] = ()
    ) -> Iterator[None]:
        """Within the block values are replaced in every pass of the model; see `losses`."""
        before: dict[str, Tensor] = {}

        def keep(hook: str, value: Tensor) -> Tensor:
            earlier = dict(before)
            before[hook] = value.to(torch.float32, copy=True)
            return replace[hook](before[hook], earlier)

        def look(hook: str, value: Tensor) -> None:
            before[hook] = value.to(torch.float32, copy=True)

        with contextlib.ExitStack() as hooks:
            # reads first: at one place they see the value before it is replaced
            for hook in read:
                if hook not in replace:
                    visit = self.site(hook).attach(lambda v, h=hook: look(h, v))
                    hooks.callback(visit.remove)
            for hook in replace:
                hooks.callback(self.site(hook).attach(lambda v, h=hook: keep(h, v)).remove)
            yield
        missing = [hook for hook in (*replace, *read) if hook not in before]
        if missing:
            raise SaematchError(
                f"{', '.join(missing)}: no text passes there on its way through {self.name}"
            )

    def _check_causal(self) -> None:
        if not self.causal:
            raise SaematchError(
                f"{self.name} is no causal language model: only its activations can be had"
            )

    def _inputs(self, ids: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """What the model is called with."""
        limit = self.max_tokens
        if limit is not None and ids.shape[-1] > limit:
            raise SaematchError(
                f"{ids.shape[-1]:,} tokens, but {self.name} has {limit:,} positions: give shorter "
                "examples"
            )
        ids = ids.to(self.device, torch.long)
        mask = torch.ones_like(ids) if mask is None else mask.to(ids)
        return {"input_ids": ids, "attention_mask": mask}


@contextlib.contextmanager
def _constant(model: nn.Module) -> Iterator[None]:
    """Within the block, weights have no gradients, which would only take memory."""
    learnt = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        for weight in learnt:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in learnt:
            weight.requires_grad_(True)


def is_masked(config: Any) -> bool:
    """Whether a kind of model is trained to fill in masked tokens."""
    from transformers.models.auto import modeling_auto as auto

    return config.model_type in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES


def _next_token_losses(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """`(batch, seq - 1)` nats; one example after the other, as logits in float32 are large."""
    losses = torch.stack(
        [
            nn.functional.cross_entropy(row[:-1].float(), target[1:], reduction="none")
            for row, target in zip(logits, ids, strict=True)
        ]
    )
    return losses.masked_fill(~mask[:, 1:], torch.nan)
