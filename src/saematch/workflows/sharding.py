"""A shard of a run of pairs: planned from names alone, and made of the SAEs of its own pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saematch.checkpoints.outline import Outline, outline
from saematch.errors import MatchError, RunError
from saematch.files.share import Share
from saematch.progress import Progress, log
from saematch.runs.names import names_of
from saematch.runs.part import part_of
from saematch.runs.records import SectionName
from saematch.runs.run import Run
from saematch.runs.sae_tables import SaeTables
from saematch.sae.sae import SAE, Conventions
from saematch.workflows.matcher import Matcher
from saematch.workflows.pair_tasks import read_by
from saematch.workflows.saes import Saes
from saematch.workflows.workers import Workers

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Part:
    """A run that is a shard, the SAEs that it is of, and which pairs it matches."""

    run: Run
    saes: Saes
    pairs: frozenset[tuple[str, str]]

    def of(self, pairs: Pairs) -> list[tuple[str, str]]:
        """Those among `pairs` that are its own."""
        return [pair for pair in pairs if pair in self.pairs]


def outlines(saes: Saes) -> dict[str, Outline]:
    """What is known of SAEs without reading them, by what they are called in a run."""
    found = [outline(given, saes.site) for given in saes.given]
    return dict(zip(names_of(found), found, strict=True))


def begun(
    share: Share,
    out: str | Path | None,
    command: str,
    matcher: Matcher,
    saes: Saes,
    told: Mapping[str, Outline],
    pairs: Pairs,
    *,
    order: Sequence[str],
    whole: Mapping[str, Any],
    workers: Workers,
    overwrite: bool,
    progress: Progress,
) -> Part:
    """Start or continue a shard.

    Args:
        share: which one.
        out: the directory of the whole.
        command: what makes it.
        matcher: how pairs are matched.
        saes: all SAEs of the whole.
        told: what is known of them, from `outlines`.
        pairs: all pairs of the whole, in the order in which one run would match them.
        order: all names in the order of their depth: shards are blocks of pairs by their targets.
        whole: what else must be known to finish the whole.
        workers: who reads SAEs.
        overwrite: discard what was made otherwise.
        progress: told of SAEs as they are read.

    Raises:
        MatchError: what features do is to be read from text, which every shard would read anew.
        RunError: as of `Run.create` and `Share.place`; or an SAE is not what its file's head says.
    """
    if matcher.reads_text:
        raise MatchError(
            "shards do not read text themselves: capture activations once (saematch capture, which "
            "takes --shard too), and give their folder (activations, --activations)"
        )
    place, names = share.place(out, command), [*told]
    at = {name: k for k, name in enumerate(order)}
    alone = [(name,) for name in names if not any(name in pair for pair in pairs)]
    mine = share.block(sorted([*pairs, *alone], key=lambda item: at[item[-1]]))
    kept = [k for k, name in enumerate(names) if any(name in item for item in mine)]
    if not mine:
        log.warning(f"shard {share} has nothing to do: there are {len(pairs)} pairs in all")
    its = Saes([saes.given[k] for k in kept], saes.asked_device, saes.site)
    read = _as_told(read_by(workers, its, progress), [told[names[k]].conventions for k in kept])
    run = Run.create(
        place,
        command,
        matcher.options,
        read,
        overwrite=overwrite,
        distinct=True,
        names=[names[k] for k in kept],
        shard=share.record(command, saes=names, pairs=pairs, **whole),
    )
    return Part(run, its, frozenset((a, b) for a, b in pairs if (a, b) in mine))


def part_for(
    run: Run,
    shard: str | None,
    command: str,
    section: SectionName,
    overwrite: bool,
    **asked: Any,
) -> tuple[Run, Share]:
    """Where `command` writes its section of a run, and which share of the work it does.

    The run itself and all of the work, unless a shard is asked for: then a run in its `shards`.
    `asked` is what the section does not tell of the work, and all shards must have alike.

    Raises:
        SaematchError: `shard` is not K/N.
        RunError: as of `part_of` and `Share.place`.
    """
    if shard is None:
        return run, Share(1, 1)
    share = Share.parsed(shard)
    place = share.place(run.path, command)
    record = share.record(command, pairs=run.pairs, **asked)
    return part_of(run, place, record, section, overwrite), share


def _as_told(
    saes: Iterator[SAE | SaeTables], told: Sequence[Conventions]
) -> Iterator[SAE | SaeTables]:
    """The same SAEs; RunError for one whose place the names of all were wrong about."""
    for sae, expected in zip(saes, told, strict=True):
        found = sae.conventions
        if (found.site, found.source) != (expected.site, expected.source):
            raise RunError(
                f"{found.source} reads {found.site}, which shows only in its weights, and not in "
                "its config or name: shards cannot be planned; give site (--site)"
            )
        yield sae
