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

from saematch.circuits.circuit import EDGES, NODES
from saematch.runs.run import Run

# fmt: off
NAMES = [
    "capital cities", "France", "of, in names", "countries", "is, was", "a place", "the", "Europe",
]
# fmt: on
PARIS = ["<|im_start|>", "The", " capital", " of", " France", " is"]
LOGITS = [(" Paris", 0.62), (" the", 0.09), (" located", 0.04)]
UNSEEN = 100  # nodes said to have been left out, and their influence
UNSEEN_INFLUENCE = 1.5


class Prompt(NamedTuple):
    """What a circuit is of; nothing of the first token, BOS, is a node."""

    slug: str
    tokens: Sequence[str]
    logits: Sequence[tuple[str, float]]
    names: Sequence[str] = NAMES


def add_circuits(
    run: Run, prompts: Sequence[Prompt] = (Prompt("paris", PARIS, LOGITS),), tracks: int = 2
) -> None:
    """Write a circuit of each prompt; `tracks`: most of them at a token, and features in a cell."""
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

    for position, token in enumerate(prompt.tokens[1:], start=1):
        add("token", position, token=token)
    group = 0
    for position in range(1, len(prompt.tokens)):
        for _ in range(rng.integers(1, tracks + 1)):
            first, last = sorted(rng.choice(len(run.names), 2, replace=False))
            for site in run.names[first : last + 1]:
                its = _feature(run, site, rng)
                name = prompt.names[group % len(prompt.names)]
                add("feature", position, track=group, group=group, group_name=name, **its)
            group += 1
        for site in run.names:
            for _ in range(rng.integers(0, tracks + 1)):
                its = _feature(run, site, rng)
                label = prompt.names[its["feature"] % len(prompt.names)]
                add("feature", position, **its, label=label if rng.random() < 0.7 else None)
            add("error", position, site=site, layer=_layer(run, site))
    for token, probability in prompt.logits:
        add("logit", len(prompt.tokens) - 1, token=token, probability=probability)
    effects = _effects(rows, run, rng)
    share = np.abs(effects) / np.maximum(np.abs(effects).sum(0), 1e-9)
    step = np.array([row.get("probability", 0.0) for row in rows])
    influence = step = step / step.sum()
    for _ in range(len(run.names) + 1):
        step = share @ step
        influence = influence + step
    for row, value in zip(rows, influence, strict=True):
        row["influence"] = float(value)
    edges = [
        {
            "circuit": prompt.slug,
            "source": s,
            "target": t,
            "effect": effects[s, t],
            "share": share[s, t],
        }
        for s, t in zip(*np.nonzero(effects), strict=True)
    ]
    of = {
        kind: float(sum(row["influence"] for row in rows if row["kind"] == kind))
        for kind in ("feature", "error", "token")
    }
    about = {
        "slug": prompt.slug,
        "prompt": "".join(prompt.tokens[1:]),
        "tokens": list(prompt.tokens),
        "sites": run.names,
        "model": "made-up",
        "attention": "frozen",
        "unread": [0],
        "nodes_before": len(rows) + UNSEEN,
        "edges_before": len(edges),
        "nodes": len(rows),
        "edges": len(edges),
        "supernodes": group,
        "replacement": of["token"] / (of["token"] + of["error"]),
        "influence_before": sum(of.values()) + UNSEEN_INFLUENCE,
    }
    return rows, edges, about


def _feature(run: Run, site: str, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "site": site,
        "layer": _layer(run, site),
        "feature": int(rng.integers(run.sae(site).d_sae)),
        "activation": float(rng.gamma(2)),
    }


def _layer(run: Run, site: str) -> int | None:
    known = run.sae(site).site
    return None if known is None else known.layer


def _effects(rows: Rows, run: Run, rng: np.random.Generator) -> np.ndarray:
    """Float (sources, targets): from earlier rows of the picture to later, never to the left."""
    ends = {"token": -1, "logit": len(run.names)}
    depth = [
        ends[row["kind"]] if row["kind"] in ends else run.names.index(row["site"]) for row in rows
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
