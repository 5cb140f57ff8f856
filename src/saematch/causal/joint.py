"""Whole tracks: does a feature matter more when it is removed at every layer at once?

Features followed over layers were reported to matter only where they are removed jointly
(arXiv 2605.18789). Here the members of a track are taken out at all their hook points in one pass,
each with the activation that the earlier removals left it, and each alone in a pass of its own. The
measure is how far predictions are from the model's own, KL divergence in nats, over windows that
begin where the track's first member fires.

Beside each stands a control of the same number and size: at every hook point and token as much is
taken out along the decoder row of another feature that fires there, drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saematch.causal.bench import Bench, Predictions, spread
from saematch.causal.edits import Remove, Shift, along, drawn
from saematch.causal.reading import Window, batched
from saematch.models.language_model import Replacement

FRAME: dict[str, Any] = {
    "track": pl.Int64,
    "start": pl.String,  # SAE of the first member
    "feature": pl.Int64,
    "length": pl.Int64,  # members
    "windows": pl.Int64,
    "tokens": pl.Int64,
    "together": pl.Float64,  # nats over those tokens: all members removed
    "alone": pl.Float64,  # the sum over members, each removed by itself
    "largest": pl.Float64,  # that of the member which tells most
    "control_together": pl.Float64,
    "control_alone": pl.Float64,
    "control_largest": pl.Float64,
}

Track = Sequence[tuple[str, int]]  # members: the SAE's name and the feature, in order of depth


def joint(
    bench: Bench,
    tracks: Sequence[tuple[int, Track]],
    windows: int = 3,
    after: int = 12,
    done: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Remove tracks over all their layers, and their members one by one.

    Args:
        bench: the model, the SAEs and a text.
        tracks: numbers and members; the first member of each fires on the text.
        windows: of each track, at most, in different examples.
        after: tokens of a window, at most.
        done: called with the number of windows that are done.

    Returns:
        One row per track: see `FRAME`.
    """
    listed: list[Window] = []
    owner: list[int] = []
    for place, (_, members) in enumerate(tracks):
        found = bench.windows(*members[0], windows, after)
        listed += found
        owner += [place] * len(found)
    sites = [name for name in bench.saes if any(name == s for _, t in tracks for s, _ in t)]
    features = torch.full((len(tracks), len(sites)), -1)
    for place, (_, members) in enumerate(tracks):
        for site, feature in members:
            features[place, sites.index(site)] = feature
    sums = np.zeros((len(tracks), 2, 1 + len(sites)))
    tokens = np.zeros(len(tracks), dtype=np.int64)
    random = torch.Generator().manual_seed(bench.seed)
    finished, device = 0, bench.model.device
    for at in batched(bench.reading.examples, listed, device, bench.batch_tokens):
        of = np.array(owner)[at.places]
        predictions = Predictions(bench, at)
        with bench.model.resuming(bench.hook(sites[0])):
            found = _batch(bench, sites, predictions, features[of].to(device), random)
        np.add.at(sums, of, found.sum(3).double().cpu().numpy().transpose(2, 0, 1))
        np.add.at(tokens, of, at.counted.sum(1).cpu().numpy())
        finished += len(at.places)
        if done is not None:
            done(finished)
    counts = np.bincount(owner, minlength=len(tracks))
    rows = [
        (
            number,
            *members[0],
            len(members),
            int(counts[place]),
            int(tokens[place]),
            *(
                float(value)
                for kind in sums[place]
                for value in (kind[0], kind[1:].sum(), kind[1:].max())
            ),
        )
        for place, (number, members) in enumerate(tracks)
    ]
    return pl.DataFrame(rows, FRAME, orient="row")


def _batch(
    bench: Bench,
    sites: Sequence[str],
    predictions: Predictions,
    features: Int[Tensor, "batch sites"],
    random: torch.Generator,
) -> Float[Tensor, "kinds passes batch seq"]:
    """Divergences of members and of controls: all together, then each site alone."""
    at = predictions.at
    hooks = [bench.hook(name) for name in sites]
    values = predictions.read(hooks)
    others: list[Tensor] = []
    for place, name in enumerate(sites):
        active = bench.saes[name].encode(values[hooks[place]][at.counted]) > 0
        member = features[:, place][at.counted.nonzero()[:, 0]]
        others.append(drawn(active, member[:, None], random))
    found: list[list[Tensor]] = [[], []]
    for some in ([*range(len(sites))], *([place] for place in range(len(sites)))):
        removed = {
            hooks[place]: Remove(bench.saes[sites[place]], features[:, [place]], at.counted)
            for place in some
        }
        found[0].append(predictions.divergence(removed))
        shifts: dict[str, Replacement] = {}
        for place in some:
            size = removed[hooks[place]].sizes[at.counted]
            shift = along(bench.saes[sites[place]], others[place], -size)
            shifts[hooks[place]] = Shift(spread(shift, at.counted))
        found[1].append(predictions.divergence(shifts))
    return torch.stack([torch.stack(kind) for kind in found])
