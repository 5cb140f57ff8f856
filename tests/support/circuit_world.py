"""Made-up circuits on the features of any run: tables as `saematch circuit` writes them.

Features are drawn, not measured: what the explorer shows of them is tested, not what they mean.
Shares and influence are what effects make of them: `share` of all that enters the target, and
`influence` carried back from the logits, by their probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from saematch.runs.run import Run

NODES = {
    "circuit": pl.String,
    "node": pl.Int32,
    "kind": pl.String,
    "site": pl.String,
    "layer": pl.Int32,
    "feature": pl.Int32,
    "position": pl.Int32,
    "activation": pl.Float32,
    "influence": pl.Float32,
    "token": pl.String,
    "probability": pl.Float32,
    "track": pl.Int32,
    "group": pl.Int32,
    "group_name": pl.String,
    "label": pl.String,
}
EDGES = {
    "circuit": pl.String,
    "source": pl.Int32,
    "target": pl.Int32,
    "effect": pl.Float32,
    "share": pl.Float32,
}
PARIS = ["<|im_start|>", "The", " capital", " of", " France", " is"]
LOGITS = [(" Paris", 0.62), (" the", 0.09), (" located", 0.04)]


class Prompt(NamedTuple):
    """What a circuit is of."""

    slug: str
    tokens: Sequence[str]
    logits: Sequence[tuple[str, float]]


def add_circuits(
    run: Run, prompts: Sequence[Prompt] = (Prompt("paris", PARIS, LOGITS),), tracks: int = 2
) -> None:
    """Write a circuit of each prompt, with so many tracks and as many features at a position."""
    made = [_circuit(run, prompt, tracks, seed) for seed, prompt in enumerate(prompts)]
    nodes = [row for rows, _, _ in made for row in rows]
    edges = [row for _, rows, _ in made for row in rows]
    tables = {
        "nodes": pl.DataFrame(nodes, schema=NODES),
        "edges": pl.DataFrame(edges, schema=EDGES),
    }
    run.add("circuits", tables, {"circuits": [about for _, _, about in made]})


Rows = list[dict[str, Any]]


def _circuit(run: Run, prompt: Prompt, tracks: int, seed: int) -> tuple[Rows, Rows, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    rows: Rows = []

    def add(kind: str, position: int, **more: Any) -> None:
        known = {"kind": kind, "position": position, "activation": 1.0, **more}
        rows.append({"circuit": prompt.slug, "node": len(rows), **known})

    for position, token in enumerate(prompt.tokens):
        add("token", position, token=token)
    group = 0
    for position in range(1, len(prompt.tokens)):
        for _ in range(rng.integers(1, tracks + 1)):
            first, last = sorted(rng.choice(len(run.names), 2, replace=False))
            for site in run.names[first : last + 1]:
                its = _feature(run, site, rng)
                add("feature", position, track=group, group=group, group_name=NAMES[group % 8], **its)
            group += 1
        for site in run.names:
            for _ in range(rng.integers(0, tracks + 1)):
                add("feature", position, **_feature(run, site, rng))
            add("error", position, site=site, layer=run.sae(site).site.layer)
    for token, probability in prompt.logits:
        add("logit", len(prompt.tokens) - 1, token=token, probability=probability)
    effects = _effects(rows, run, rng)
    share = np.abs(effects) / np.maximum(np.abs(effects).sum(0), 1e-9)
    influence = np.array([row.get("probability", 0.0) for row in rows])
    influence /= influence.sum()
    carried = influence
    for _ in range(len(run.names) + 2):
        carried = share @ carried
        influence = influence + carried
    for row, value in zip(rows, influence, strict=True):
        row["influence"] = min(1.0, float(value))
    edges = [
        {"circuit": prompt.slug, "source": s, "target": t, "effect": effects[s, t], "share": share[s, t]}
        for s, t in zip(*np.nonzero(effects), strict=True)
    ]
    about = {
        "slug": prompt.slug,
        "prompt": "".join(prompt.tokens[1:]),
        "tokens": list(prompt.tokens),
        "sites": run.names,
        "model": "made-up",
        "attention": "frozen",
        "options": {},
    }
    return rows, edges, about


NAMES = ["capital cities", "France", "of, in names", "countries", "is, was", "a place", "the", "Europe"]


def _feature(run: Run, site: str, rng: np.random.Generator) -> dict[str, Any]:
    feature = int(rng.integers(run.sae(site).d_sae))
    layer = run.sae(site).site.layer
    label = NAMES[feature % 8] if rng.random() < 0.7 else None
    return {
        "site": site,
        "layer": layer,
        "feature": feature,
        "activation": float(rng.gamma(2)),
        "label": label,
    }


def _effects(rows: Rows, run: Run, rng: np.random.Generator) -> np.ndarray:
    """Float (sources, targets): from earlier rows of the picture to later, never to the left."""
    depth = [
        -1 if row["kind"] == "token" else 99 if row["kind"] == "logit" else run.names.index(row["site"])
        for row in rows
    ]
    effects = np.zeros((len(rows), len(rows)))
    for t, target in enumerate(rows):
        if target["kind"] in ("token", "error"):
            continue
        for s, source in enumerate(rows):
            away = target["position"] - source["position"]
            if depth[s] >= depth[t] or away < 0:
                continue
            same = source.get("group") is not None and source.get("group") == target.get("group")
            if same or rng.random() < 0.5 / (1 + away):
                size = rng.pareto(1.3) * (3 if same else 1) / (1 + 0.3 * (depth[t] - depth[s] > 2))
                effects[s, t] = size if same or rng.random() < 0.75 else -size
    return effects
