"""The file of an attribution graph: what circuit-tracer and Neuronpedia open.

Follows Neuronpedia's schema (draft-07 "Anthropic Attribution Graph" 1.0.0) and circuit-tracer's
`schema_version` 1: `node_id` is `LAYER_FEATURE_COLUMN`, `feature` the Cantor pairing of layer and
feature.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

import saematch
from saematch.errors import RunError
from saematch.files.atomic import whole
from saematch.files.foreign import read_json

LISTING = "graph-metadata.json"  # by which circuit-tracer's page knows what lies beside it
FEATURE = "cross layer transcoder"  # the type of feature that pages know


def check_slug(slug: str) -> None:
    """Raise RunError where a page could not ask for a graph by that name."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", slug):
        raise RunError(f"the name {slug!r} must be of letters, digits, - and _")


def node_id(layer: pl.Expr, feature: pl.Expr, column: pl.Expr) -> pl.Expr:
    """By what links and supernodes name a node."""
    return pl.format("{}_{}_{}", layer, feature, column)


def paired(layer: pl.Expr, feature: pl.Expr) -> pl.Expr:
    """Layer and feature in one number (Cantor pairing)."""
    together = layer + feature
    return together * (together + 1) // 2 + feature


def attribution_graph(
    nodes: pl.DataFrame,
    links: pl.DataFrame,
    *,
    slug: str,
    prompt: str,
    tokens: Sequence[str],
    model: str | None = None,
    supernodes: Sequence[Sequence[str]] = (),
    **more: Any,
) -> dict[str, Any]:
    """The content of the file.

    Args:
        nodes: `node_id`, `feature`, `layer`, `ctx_idx`, `jsNodeId`, `clerp`; as far as they are not
            as of a feature, `feature_type`, `token_prob`, `is_target_logit`, `influence`,
            `activation`.
        links: `source`, `target` (ids of nodes), `weight`.
        slug: the name that a page asks for the graph by.
        prompt: what the graph is of.
        tokens: what the columns are called.
        model: its name on Neuronpedia, such as `gemma-2-2b`; the slug unless given.
        supernodes: of each its name and the ids of its nodes.
        more: what else the metadata holds.
    """
    usual = {
        "feature_type": FEATURE,
        "token_prob": 0.0,
        "is_target_logit": False,
        "influence": None,
        "activation": None,
    }
    given = [pl.lit(value).alias(k) for k, value in usual.items() if k not in nodes.columns]
    rows = nodes.with_columns(given).select(
        "node_id",
        "feature",
        pl.col("layer").cast(pl.String),
        "ctx_idx",
        "feature_type",
        "token_prob",
        "is_target_logit",
        pl.lit(0).alias("run_idx"),
        pl.lit(0).alias("reverse_ctx_idx"),
        "jsNodeId",
        "clerp",
        "influence",
        "activation",
    )
    return {
        "metadata": {
            "slug": slug,
            "scan": model or slug,
            "transcoder_list": [],
            "prompt_tokens": list(tokens),
            "prompt": prompt,
            "title_prefix": "",
            "schema_version": 1,
            "info": {"generator": {"name": "saematch", "version": saematch.__version__}},
            **more,
        },
        "qParams": {
            "pinnedIds": [],
            "supernodes": [list(some) for some in supernodes],
            "linkType": "both",
            "clickedId": "",
            "sg_pos": "",
        },
        "nodes": rows.to_dicts(),
        "links": links.select("source", "target", "weight").to_dicts(),
    }


def write_attribution_graph(path: Path, content: Mapping[str, Any]) -> None:
    """Write the file, whole or not at all, and bring circuit-tracer's listing beside it up to date.

    Raises:
        RunError: what has the listing's name is none.
        OSError: a file cannot be written.
    """
    write_text(path, json.dumps(content, ensure_ascii=False, allow_nan=False))
    _list(path.parent / LISTING, content["metadata"])


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _list(path: Path, metadata: Mapping[str, Any]) -> None:
    """Add a graph to circuit-tracer's listing, in the place of one of the same slug."""
    graphs: Iterable[Mapping[str, Any]] = []
    if path.is_file():
        content = read_json(path, error=RunError)
        listed = content.get("graphs") if isinstance(content, dict) else None
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            raise RunError(f"{path} is no listing of graphs: write to another folder")
        graphs = listed
    others = [entry for entry in graphs if entry.get("slug") != metadata["slug"]]
    write_text(path, json.dumps({"graphs": [*others, metadata]}, indent=2, ensure_ascii=False))
