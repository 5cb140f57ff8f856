"""One feature's way through the layers: where it comes from, where it goes, what else it might."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from saematch.errors import RunError, names_there
from saematch.labels.neuronpedia import Label
from saematch.labels.of_run import SingleLabels
from saematch.layers.layers import STREAM, Layers, Pair
from saematch.matching.fdr import local_rate
from saematch.runs.run import Run
from saematch.sae.contexts import Context, top_contexts

SKIPS = 1  # layers in a row that a way may leave out where they have no match
Cuts = Mapping[tuple[str, str], float | None]  # by pair: the largest p-value of a match


@dataclass(frozen=True)
class Link:
    """From a feature of SAE A to one of SAE B; what is not known is None."""

    site: str  # of the other end
    feature: int
    kind: str  # as in saematch.layers.graph.KINDS
    rank: int | None  # among the candidates of A's feature, or the sources of B's, from 1
    score: float | None
    cosine: float | None  # of the decoder rows
    p_value: float | None
    taken: int | None = None  # significant, but matched to this feature instead
    local_fdr: float | None = None  # of a match on the way: the chance that it is false, at most


@dataclass(frozen=True)
class Step:
    """A feature on the way, by the link that leads to it."""

    link: Link
    alternatives: tuple[Link, ...]  # what else was there to go to, in the same SAE
    skipped: tuple[str, ...]  # SAEs in between that have no match
    contexts: tuple[Context, ...]
    tracks: tuple[str, ...] | None = None  # if over `skipped`: modes whose tracks do so too
    label: Label | None = None  # what it is said to mean, else its top tokens


@dataclass(frozen=True)
class Track:
    """The longest track of a mode that a feature is in, by its ends."""

    mode: str
    track: int  # its number in the run's tables
    start: tuple[str, int]  # site and feature
    end: tuple[str, int]
    length: int  # features in it
    together: int  # tracks of the mode that the feature is in: they flow together


@dataclass(frozen=True)
class Trace:
    """A feature with its way backward and forward, from the nearest step to the farthest.

    `before` and `after` say what was there where the way ends: the best links of the next SAE, of
    which none is an accepted match; empty where no SAE follows that the run has matched.
    `other_streams` are such links of SAEs of other streams, those of each SAE together.
    """

    site: str
    feature: int
    contexts: tuple[Context, ...]
    community: tuple[int, str | None] | None  # number and label, where the run has communities
    backward: tuple[Step, ...]
    forward: tuple[Step, ...]
    before: tuple[Link, ...]
    after: tuple[Link, ...]
    modules: tuple[Link, ...]  # accepted matches from or to SAEs of other streams
    other_streams: tuple[tuple[Link, ...], ...] = ()
    tracks: tuple[Track, ...] | None = None  # by mode; None where the run has no tracks
    label: Label | None = None  # as of a step

    @property
    def confidence(self) -> float | None:
        """The chance that the whole way is right, at least.

        One minus the sum of its links' `local_fdr`, which bounds the chance that any of them is
        false however they depend on each other; 0 at least. A link is false if its two features
        are no more alike than by chance: of rivals that are both alike, either is right. None
        without links, or without p-values.
        """
        rates = [step.link.local_fdr for step in (*self.backward, *self.forward)]
        known = [rate for rate in rates if rate is not None]
        return max(0.0, 1 - sum(known)) if rates and len(known) == len(rates) else None

    def __repr__(self) -> str:
        from saematch.layers.path import sentence

        return sentence(self)

    def _repr_html_(self) -> str:
        from saematch.layers.path import html

        return html(self)


def trace(
    run: Run | str | Path,
    site: str,
    feature: int | None = None,
    *,
    contexts: int = 2,
    alternatives: int = 3,
) -> Trace:
    """Follow a feature backward and forward along its accepted matches.

    The way leads from SAE to SAE of the same stream, always to the nearest that the run has matched
    with the last one; where that has no match the next is tried, `SKIPS` at most.

    Args:
        run: a run directory.
        site: the name of an SAE of the run; or a layer, of the residual stream; or, without
            `feature`, both in one as `12_3456`, `resid_post_12/3456` or `resid_post_12#3456`.
        feature: its index.
        contexts: how many to give of each feature.
        alternatives: how many to give of each step; where the way ends, one at least.

    Raises:
        RunError: there is no such run, SAE or feature, or the feature takes no part in matchings.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    layers = Layers.of(run)
    site, feature = find(layers, site, feature)
    if layers.excluded[site][feature]:
        reason = run.features(site)["excluded"][feature]
        raise RunError(f"feature {feature} of {site} takes part in no matching: it is {reason}")
    known: dict[str, pl.DataFrame | None] = {}
    labels = SingleLabels(run)
    cuts = {pair: figures["p_cut"] for pair, figures in run.summaries.items()}
    tracks = _tracks(run)

    def told(name: str, index: int) -> dict[str, Any]:
        if name not in known:
            known[name] = run.contexts(name)
        frame = known[name]
        texts = () if frame is None else tuple(top_contexts(frame, index, contexts))
        return {"contexts": texts, "label": labels.of(name, index, frame)}

    ways = {}
    for ahead in (False, True):
        steps: list[Step] = []
        here = site, feature
        while True:
            step, best = _next(layers, cuts, *here, ahead, alternatives)
            if step is None:
                break
            last, here = here, (step.link.site, step.link.feature)
            ends = (last, here) if ahead else (here, last)
            modes = _modes(tracks, *ends) if step.skipped and tracks is not None else None
            steps.append(replace(step, tracks=modes, **told(*here)))
        ways[ahead] = tuple(steps), best
    modules, other_streams = _modules(layers, cuts, site, feature, alternatives)
    return Trace(
        site=site,
        feature=feature,
        **told(site, feature),
        community=_community(run, site, feature),
        backward=ways[False][0],
        forward=ways[True][0],
        before=ways[False][1],
        after=ways[True][1],
        modules=modules,
        other_streams=other_streams,
        tracks=None if tracks is None else _tracks_of(tracks, site, feature),
    )


def find(layers: Layers, site: str, feature: int | None = None) -> tuple[str, int]:
    """The SAE and the index that a name means; see `trace`.

    Raises:
        RunError: there is no such SAE or feature, or the name means several.
    """
    if feature is None and site not in layers.names:
        together = re.fullmatch(r"(.+)[/#](\d+)|(\d+)_(\d+)", site.replace(" ", ""))
        if together is not None:
            site = together[1] or together[3]
            feature = int(together[2] or together[4])
    name = site_of(layers, site)
    last = layers.features[name] - 1
    if feature is None:
        raise RunError(f"which feature of {name}? It has 0 to {last}")
    if not 0 <= feature <= last:
        raise RunError(f"{name} has no feature {feature}; it has 0 to {last}")
    return name, feature


def site_of(layers: Layers, site: str) -> str:
    """The SAE that a name or the number of a layer means.

    Raises:
        RunError: there is none, or several.
    """
    if site in layers.names:
        return site
    known = names_there(site, layers.names)
    if not site.isdecimal():
        raise RunError(f"the run has no SAE {site!r}; {known}")
    residual = [
        name
        for name in layers.streams.get(STREAM, ())
        if (s := layers.sites[name]) is not None and s.layer == int(site)
    ]
    # of resid_pre_0 and resid_post_0, layer 0 means what comes out of it
    last = {s.kind for name in residual if (s := layers.sites[name]) is not None}
    if len(residual) > 1 and "resid_post" in last:
        residual = [n for n in residual if (s := layers.sites[n]) and s.kind == "resid_post"]
    if len(residual) == 1:
        return residual[0]
    if residual:
        raise RunError(f"layer {site} has several SAEs, name one: {', '.join(residual)}")
    raise RunError(f"the run has no SAE of the residual stream at layer {site}; {known}")


def neighbours_of(layers: Layers, site: str, ahead: bool) -> list[str]:
    """The SAEs of the same stream that the run has matched with this one, the nearest first."""
    stream = next(names for names in layers.streams.values() if site in names)
    place = stream.index(site)
    if ahead:
        return [name for name in stream[place + 1 :] if (site, name) in layers.pairs]
    return [name for name in reversed(stream[:place]) if (name, site) in layers.pairs]


def _next(
    layers: Layers, cuts: Cuts, site: str, feature: int, ahead: bool, n: int
) -> tuple[Step | None, tuple[Link, ...]]:
    """The next step, or none and what the nearest SAE has instead."""
    stop: tuple[Link, ...] | None = None
    skipped: list[str] = []
    for other in neighbours_of(layers, site, ahead)[: SKIPS + 1]:
        ends = (site, other) if ahead else (other, site)
        links = _links(layers.pairs[ends], other, feature, ahead)
        accepted = [link for link in links if link.kind == "match"]
        if accepted:
            rest = [link for link in links if link is not accepted[0]]
            source = feature if ahead else accepted[0].feature
            rate = _local_fdr(layers, *ends, source, skipped)
            link = replace(accepted[0], local_fdr=rate)
            return Step(link, tuple(rest[:n]), tuple(skipped), ()), ()
        if stop is None:
            stop = _nearest(layers.pairs[ends], cuts[ends], links, feature, ahead, n)
        skipped.append(other)
    return None, stop or ()


def _local_fdr(layers: Layers, a: str, b: str, feature: int, skipped: list[str]) -> float | None:
    """The local false discovery rate of a feature of A among all that are sought in B.

    Over a layer, those are the features that have no match there.
    """
    pair = layers.pairs[a, b]
    if np.isnan(pair.p_value[feature]):
        return None
    sought = ~layers.excluded[a]
    for between in skipped:
        if (a, between) in layers.pairs:
            sought &= ~layers.pairs[a, between].matched
    sought[feature] = True
    among = int(sought[:feature].sum())
    return float(local_rate(pair.p_value[sought])[among])


def _nearest(
    pair: Pair, cut: float | None, links: list[Link], feature: int, ahead: bool, n: int
) -> tuple[Link, ...]:
    """The best links and the assigned one, where none is a match; and who took them.

    A p-value beyond the cut would make a match if no other feature had it.
    """
    found = []
    links = sorted(links, key=lambda k: k.rank or len(links) + 1)
    most = max(1, n)
    kept = links[:most] + [link for link in links[most:] if link.kind == "target"][:1]
    for link in kept:
        taken = None
        if cut is not None and link.p_value is not None and link.p_value <= cut:
            if ahead:
                rivals = (pair.target == link.feature).nonzero()[0]
                # one that is accepted, if there is one
                rivals = rivals[np.argsort(~pair.matched[rivals], kind="stable")]
                taken = int(rivals[0]) if len(rivals) else -1
            else:
                taken = int(pair.target[link.feature])
        found.append(replace(link, taken=None if taken in (None, -1, feature) else taken))
    return tuple(found)


def _links(pair: Pair, other: str, feature: int, ahead: bool) -> list[Link]:
    """All links of a feature of A (`ahead`) or B: matches first, then by rank."""
    if ahead:
        ranked = pair.candidates
        given = [feature] if pair.target[feature] >= 0 else []
    else:
        ranked = pair.sources
        given = (pair.target == feature).nonzero()[0].tolist()
    columns = ranked.index, ranked.score, ranked.p_value, ranked.more["decoder_cosine"]
    listed, scores, p_values, cosines = (values[feature] for values in columns)
    rank = {int(index): place + 1 for place, index in enumerate(listed) if index >= 0}
    links = [
        Link(
            other,
            end := int(pair.target[row]) if ahead else row,
            "match" if pair.matched[row] else "target",
            rank.get(end),
            _number(pair.score[row]),
            _number(pair.cosine[row]),
            _number(pair.p_value[row]),
        )
        for row in given
    ]
    ends = {link.feature for link in links}
    kind = "candidate" if ahead else "source"
    links += [
        Link(
            other,
            end,
            kind,
            place,
            _number(scores[place - 1]),
            _number(cosines[place - 1]),
            _number(p_values[place - 1]),
        )
        for end, place in rank.items()
        if end not in ends
    ]
    worst = float("inf")
    # several features may share a target: the best of them is the way
    return sorted(
        links,
        key=lambda k: (
            k.kind != "match",
            -(k.score if k.score is not None else -worst) if k.kind == "match" else 0,
            k.rank or worst,
        ),
    )


def _modules(
    layers: Layers, cuts: Cuts, site: str, feature: int, n: int
) -> tuple[tuple[Link, ...], tuple[tuple[Link, ...], ...]]:
    """Accepted matches with SAEs of other streams, in order of depth; else what was nearest."""
    own = next(names for names in layers.streams.values() if site in names)
    found, other_streams = [], []
    for other in layers.names:
        if other in own:
            continue
        for ahead, pair in ((False, (other, site)), (True, (site, other))):
            if pair not in layers.pairs:
                continue
            links = _links(layers.pairs[pair], other, feature, ahead)
            if accepted := [link for link in links if link.kind == "match"]:
                found.append(accepted[0])
            elif links:
                of = layers.pairs[pair]
                other_streams.append(_nearest(of, cuts[pair], links, feature, ahead, n))
    return tuple(found), tuple(other_streams)


def _tracks(run: Run) -> pl.DataFrame | None:
    """`mode`, `track`, `position`, `site`, `feature`; None where the run has no tracks."""
    if "tracks" not in run.tables("flow"):
        return None
    return run.table("flow", "tracks").select("mode", "track", "position", "site", "feature")


def _through(tracks: pl.DataFrame, site: str, feature: int) -> pl.DataFrame:
    """`mode`, `track` and `position` of all tracks through a feature."""
    here = tracks.filter(pl.col("site") == site, pl.col("feature") == feature)
    return here.select("mode", "track", "position")


def _tracks_of(tracks: pl.DataFrame, site: str, feature: int) -> tuple[Track, ...]:
    """The longest track through a feature, for each mode."""
    through = _through(tracks, site, feature).select("mode", "track")
    whole = (
        tracks.join(through, on=["mode", "track"], how="semi")
        .sort("position", maintain_order=True)
        .group_by("mode", "track", maintain_order=True)
        .agg("site", "feature")
    )
    found = []
    for mode in tracks["mode"].unique(maintain_order=True):
        rows = whole.filter(pl.col("mode") == mode)
        if len(rows):
            row = rows.sort(pl.col("site").list.len(), "track", descending=[True, False])
            row = row.row(0, named=True)
            ends = list(zip(row["site"], row["feature"], strict=True))
            found.append(Track(mode, row["track"], ends[0], ends[-1], len(ends), len(rows)))
    return tuple(found)


def _modes(tracks: pl.DataFrame, a: tuple[str, int], b: tuple[str, int]) -> tuple[str, ...]:
    """Modes of which a track leads straight from one feature to another."""
    after = _through(tracks, *a).with_columns(pl.col("position") + 1)
    both = _through(tracks, *b).join(after, on=["mode", "track", "position"], how="semi")
    return tuple(both["mode"].unique(maintain_order=True))


def _community(run: Run, site: str, feature: int) -> tuple[int, str | None] | None:
    if "communities" not in run.tables("flow"):
        return None
    row = (
        run.table("flow", "communities")
        .select("community", "label", "members")
        .explode("members")
        .unnest("members")
        .filter(pl.col("site") == site, pl.col("feature") == feature)
    )
    return (row["community"][0], row["label"][0]) if len(row) else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
