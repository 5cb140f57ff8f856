# Tensor.split, norm and from_numpy, and scipy, have no types of their own
# pyright: strict, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
"""A matching as one safetensors file: its tensors, and the rest as JSON in the header.

The SAEs are not in it: it names them, with the checksum of their weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from saematch.assignment.result import Assignment, Kind
from saematch.assignment.work import Work
from saematch.errors import MatchError, SaematchError
from saematch.files.directory import writing
from saematch.files.foreign import parsing, regular
from saematch.matching.evidence import Activations, Evidence
from saematch.matching.measures import Measures
from saematch.matching.methods import Method
from saematch.matching.pairs import Pairs
from saematch.matching.problem import BOTH_ABSENT, check_evidence
from saematch.matching.significance import Significance, Test
from saematch.matching.verdict import Verdict
from saematch.models.jacobian import Jacobian
from saematch.numerics.ranked import Ranked
from saematch.sae.checksum import checksum
from saematch.sae.contexts import with_frequency
from saematch.sae.folding import Fold
from saematch.sae.sae import SAE, Site

if TYPE_CHECKING:
    from saematch.matching.matching import Matching

KEY, FORMAT = "saematch.matching", 1
Dtype = Literal["float64", "float32", "float16", "bfloat16"]


class SavedSae(msgspec.Struct, frozen=True):
    """Which SAE was matched."""

    source: str
    checksum: str
    dtype: Dtype
    d_sae: int
    site: Site | None


class SavedAssignment(msgspec.Struct, frozen=True):
    """An assignment without its tensors."""

    total: float
    cost: float
    gap: float
    relative_gap: float
    kind: Kind
    solver: str
    seconds: float
    work: Work


class SavedMatching(msgspec.Struct, frozen=True):
    """A matching without its tensors."""

    format: int
    a: SavedSae
    b: SavedSae
    method: Method
    significance: Significance
    test: Test
    p_cut: float | None
    fold: Fold
    candidates: tuple[str, ...]  # what is known of each beside its score
    sources: tuple[str, ...]
    measures: tuple[str, ...]
    identity: dict[str, float | None] | None  # null: not a number
    excluded: tuple[tuple[str, ...], tuple[str, ...]]  # reasons, of A and of B
    assignment: SavedAssignment | None
    gaps: tuple[float, float] | None  # where the assignment is not kept
    notes: tuple[str, ...]
    seconds: float


_DUALS = ("target", "score", "row_dual", "column_dual", "candidates", "candidate_scores")
_PAIRS = tuple(field.name for field in dataclasses.fields(Pairs))


def save_matching(m: Matching, path: str | Path) -> None:
    """Write a matching to a file, whole or not at all."""
    assignment, identity = None, m.measures.identity
    if m.assignment is not None:
        names = SavedAssignment.__struct_fields__
        assignment = SavedAssignment(*(getattr(m.assignment, name) for name in names))
    record = SavedMatching(
        format=FORMAT,
        a=_sae_record(m.a),
        b=_sae_record(m.b),
        method=m.method,
        significance=m.verdict.significance,
        test=m.verdict.test,
        p_cut=m.verdict.p_cut,
        fold=m.measures.fold,
        candidates=tuple(m.candidates.more),
        sources=tuple(m.sources.more),
        measures=tuple(m.measures),
        identity=None if identity is None else dict(identity),
        excluded=(tuple(m.excluded[0]), tuple(m.excluded[1])),
        assignment=assignment,
        gaps=m.known_gaps,
        notes=m.notes,
        seconds=m.seconds,
    )
    tensors = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in _tensors(m).items()
        if value is not None
    }
    with writing(Path(path).parent, Path(path).name) as partial:
        save_file(tensors, partial, {KEY: msgspec.json.encode(record).decode()})


def load_matching(
    path: str | Path,
    a: SAE | None = None,
    b: SAE | None = None,
    activations: Activations = BOTH_ABSENT,
    jacobian: Jacobian | None = None,
) -> Matching:
    """Read a matching from a file of `save_matching`.

    Args:
        path: the file.
        a: the SAE that was matched; loaded again from where it came unless given.
        b: the SAE that it was matched to; likewise.
        activations: of both on the same tokens, which are not in the file, for `inverse` and
            `compose` of methods that compare them.
        jacobian: between their hook points, for those of methods that carry directions.

    Raises:
        MatchError: the file does not hold a matching, or an SAE has other weights than the one
            that was matched.
        CheckpointError: an SAE cannot be loaded.
    """
    from saematch.matching.matching import Matching

    path = Path(path)
    regular(path, error=MatchError)
    with (
        parsing(path, "a safetensors file", MatchError),
        safe_open(path, framework="pt", device="cpu") as file,
    ):
        header = (file.metadata() or {}).get(KEY)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if header is None:
        raise MatchError(f"{path}: not a matching; Matching.save(path) writes one")
    with parsing(path, error=MatchError, say="its header is not that of a matching"):
        record = msgspec.json.decode(header, type=SavedMatching)
    if record.format != FORMAT:
        raise MatchError(
            f"{path}: format {record.format}, and this version of saematch reads {FORMAT}"
        )
    mend = "give that SAE, Matching.load(path, a, b), or match again"
    a, b = (
        same_sae(its, given, str(path), mend, MatchError)
        for its, given in ((record.a, a), (record.b, b))
    )
    read = _Reader(path, tensors, a.device)
    evidence = Evidence.of(a, b, activations, jacobian)
    if activations != BOTH_ABSENT:
        check_evidence(a, b, evidence, record.method)
    n, m = a.d_sae, b.d_sae
    verdict = Verdict(
        significance=record.significance,
        test=record.test,
        p_cut=record.p_cut,
        statistic=read.numbers("statistic", (n,)) if "statistic" in tensors else None,
        null_best=read.numbers("null_best", (None,)) if "null_best" in tensors else None,
    )
    return Matching(
        a=a,
        b=b,
        method=record.method,
        pairs=Pairs(
            target=read.indices("pairs.target", (n,), m),
            matched=read.flags("pairs.matched", (n,)),
            score=read.numbers("pairs.score", (n,)),
            p_value=read.numbers("pairs.p_value", (n,)),
            rank_in_row=read.indices("pairs.rank_in_row", (n,), m + 1),
            rank_in_column=read.indices("pairs.rank_in_column", (n,), n + 1),
        ),
        candidates=read.ranked("candidates", n, m, record.candidates),
        sources=read.ranked("sources", m, n, record.sources),
        verdict=verdict,
        measures=Measures(
            {name: read.numbers(f"measures.{name}", (n,)) for name in record.measures},
            record.fold,
            _numbers(record.identity),
        ),
        excluded=(
            {r: read.flags(f"excluded_a.{i}", (n,)) for i, r in enumerate(record.excluded[0])},
            {r: read.flags(f"excluded_b.{i}", (m,)) for i, r in enumerate(record.excluded[1])},
        ),
        assignment=read.assignment(record.assignment),
        notes=record.notes,
        seconds=record.seconds,
        evidence=evidence,
        known_gaps=record.gaps,
    )


def _sae_record(sae: SAE) -> SavedSae:
    dtype = str(sae.dtype).removeprefix("torch.")
    c = sae.conventions
    return SavedSae(c.source, checksum(sae), dtype, sae.d_sae, c.site)  # pyright: ignore[reportArgumentType]


def _tensors(m: Matching) -> dict[str, Tensor | None]:
    found: dict[str, Tensor | None] = {f"pairs.{name}": getattr(m.pairs, name) for name in _PAIRS}
    for name, ranked in (("candidates", m.candidates), ("sources", m.sources)):
        found |= {f"{name}.index": ranked.index, f"{name}.score": ranked.score}
        found |= {f"{name}.{key}": values for key, values in ranked.more.items()}
    found |= {f"measures.{name}": values for name, values in m.measures.items()}
    for side, reasons in zip("ab", m.excluded, strict=True):
        found |= {f"excluded_{side}.{i}": mask for i, mask in enumerate(reasons.values())}
    if m.assignment is not None:
        found |= {f"assignment.{name}": getattr(m.assignment, name) for name in _DUALS}
    return {**found, "statistic": m.verdict.statistic, "null_best": m.verdict.null_best}


def same_sae(
    record: SavedSae, given: SAE | None, made: str, mend: str, error: type[SaematchError]
) -> SAE:
    """The SAE of a record: the one given, or loaded again.

    Args:
        record: of the SAE.
        given: the SAE, if it is at hand.
        made: what was made of it, for the error.
        mend: what to do about other weights, for the error.
        error: the kind of error to raise.

    Raises:
        SaematchError: it has other weights than it had.
        CheckpointError: it cannot be loaded.
    """
    sae = given
    if sae is None:
        from saematch.checkpoints import load

        sae = load(record.source, dtype=getattr(torch, record.dtype))
        # which may have been given to `load`
        conventions = dataclasses.replace(sae.conventions, site=record.site)
        sae = dataclasses.replace(sae, conventions=conventions)
    if checksum(sae) != record.checksum:
        raise error(f"{sae.name} has other weights than when {made} was made: {mend}")
    return with_frequency(sae)


def _numbers(values: Mapping[str, float | None] | None) -> dict[str, float] | None:
    if values is None:
        return None
    return {name: float("nan") if value is None else value for name, value in values.items()}


@dataclasses.dataclass(frozen=True)
class _Reader:
    """The tensors of a file, each checked before it is handed out.

    Every method raises MatchError where one is missing or is not what it should be.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    device: torch.device

    def numbers(self, name: str, shape: tuple[int | None, ...]) -> Tensor:
        """A tensor of floating numbers; a size that is None may be any."""
        return self._checked(
            name, shape, "floating numbers", self._tensor(name).is_floating_point()
        )

    def flags(self, name: str, shape: tuple[int | None, ...]) -> Tensor:
        """A tensor of booleans."""
        return self._checked(name, shape, "booleans", self._tensor(name).dtype == torch.bool)

    def indices(self, name: str, shape: tuple[int | None, ...], below: int) -> Tensor:
        """A tensor of integers from -1 to `below - 1`."""
        found = self._tensor(name)
        found = self._checked(name, shape, "64-bit integers", found.dtype == torch.int64)
        if found.numel() and not -1 <= int(found.min()) <= int(found.max()) < below:
            low, high = int(found.min()), int(found.max())
            raise MatchError(
                f"{self.path}: {name} has {low} to {high}, expected -1 to {below - 1:,}"
            )
        return found

    def ranked(self, name: str, n: int, others: int, more: tuple[str, ...]) -> Ranked[Tensor]:
        """A list of partners of each of `n` features, among `others`."""
        index = self.indices(f"{name}.index", (n, None), others)
        values = {
            key: self.numbers(f"{name}.{key}", tuple(index.shape)) for key in ("score", *more)
        }
        return Ranked(index, values.pop("score"), values)

    def assignment(self, record: SavedAssignment | None) -> Assignment | None:
        """The assignment that the record is of."""
        if record is None:
            return None
        column_dual = self.numbers("assignment.column_dual", (None,))
        target = self.indices("assignment.target", (None,), len(column_dual))
        candidates, scores = None, None
        if "assignment.candidates" in self.tensors:
            shape = (len(target), None)
            candidates = self.indices("assignment.candidates", shape, len(column_dual))
            scores = self.numbers("assignment.candidate_scores", tuple(candidates.shape))
        return Assignment(
            target=target,
            score=self.numbers("assignment.score", tuple(target.shape)),
            row_dual=self.numbers("assignment.row_dual", tuple(target.shape)),
            column_dual=column_dual,
            candidates=candidates,
            candidate_scores=scores,
            **{name: getattr(record, name) for name in record.__struct_fields__},
        )

    def _tensor(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise MatchError(f"{self.path}: no tensor {name}; save the matching again")
        return self.tensors[name]

    def _checked(self, name: str, shape: tuple[int | None, ...], kind: str, fits: bool) -> Tensor:
        found = self._tensor(name)
        sizes = tuple(found.shape)
        same = len(sizes) == len(shape) and all(
            wanted in (None, size) for size, wanted in zip(sizes, shape, strict=True)
        )
        if not same or not fits:
            expected = str(shape).replace("None", "any")
            raise MatchError(
                f"{self.path}: {name} is {found.dtype} {sizes}, expected {kind} {expected}"
            )
        return found.to(self.device)
