"""What cache.json of a store of activations holds, and which of its shards count."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import saematch
from saematch.activations.pair_sums import MOST_TOKENS
from saematch.errors import RunError
from saematch.files.directory import Ledger, outside
from saematch.runs.manifest import MOST_FEATURES, differences, now, plain
from saematch.sae.checksum import checksum
from saematch.sae.sae import SAE

CACHE = "cache.json"
FORMAT = "saematch activations"
VERSION = 1  # of the format; larger when a reader of an older one would misread it
TOKENS = "tokens"


def new_cache(
    model: str, texts: Mapping[str, Any], saes: Mapping[str, SAE], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of a store that holds nothing yet.

    Raises:
        RunError: a name cannot be that of a folder beside `tokens`.
    """
    for name in saes:
        if outside(name) or name == TOKENS:
            raise RunError(f"{name!r} cannot name an SAE of a store: it becomes a folder's name")
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "saematch": saematch.__version__,
        "created": now(),
        "finished": None,
        "model": model,
        # as they will be read again: tuples become lists
        "texts": json.loads(json.dumps(plain(texts))),
        "options": json.loads(json.dumps(plain(options))),
        "saes": [_entry(name, sae) for name, sae in saes.items()],
        "shards": [],
    }


def _entry(name: str, sae: SAE) -> dict[str, Any]:
    return {
        "name": name,
        "checksum": checksum(sae),
        "hook": str(sae.conventions.site or ""),
        "d_sae": sae.d_sae,
        "conventions": plain(dataclasses.asdict(sae.conventions)),
    }


def cache_differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What makes two stores hold different things, in words; none where they hold the same."""

    def asked(content: Mapping[str, Any]) -> dict[str, Any]:
        texts = {key: value for key, value in content["texts"].items() if key != "digest"}
        options = {**content["options"], "texts": texts, "model": content["model"]}
        kept = {key: content[key] for key in ("saematch", "saes")}
        return {**kept, "command": "activations", "options": options}

    moved = [
        f"{old['name']} is read at {old['hook']} there, at {new['hook']} here"
        for old, new in zip(there["saes"], here["saes"], strict=False)
        if old["name"] == new["name"] and old["hook"] != new["hook"]
    ]
    found = differences(asked(there), asked(here)) + moved
    # what follows from another option is said by that alone
    if not found and there["texts"].get("digest") != here["texts"].get("digest"):
        found.append("the texts have other tokens there")
    return found


def _fault(content: dict[str, Any]) -> str | None:
    names = [entry["name"] for entry in content["saes"]]
    if len(set(names)) != len(names):
        return "two SAEs of one name"
    for entry in content["saes"]:
        if outside(entry["name"]) or entry["name"] == TOKENS:
            return f"the name {entry['name']!r}"
        if isinstance(entry["d_sae"], bool) or not 0 < entry["d_sae"] < MOST_FEATURES:
            return f"d_sae of {entry['name']} is {entry['d_sae']!r}"
    width = content["options"].get("shard_tokens")
    if not isinstance(width, int) or width < 1:
        return f"shard_tokens is {width!r}"
    for number, shard in enumerate(content["shards"]):
        figures = [shard["tokens"], *shard["nonzeros"].values(), *shard["bytes"].values()]
        if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in figures):
            return f"shard {number} has figures that are no numbers"
        if set(shard["nonzeros"]) != set(names):
            return f"shard {number} is not of the SAEs that are there"
        # what no file of that size could hold
        if shard["tokens"] > MOST_TOKENS or any(
            shard["nonzeros"][e["name"]] > shard["tokens"] * e["d_sae"] for e in content["saes"]
        ):
            return f"shard {number} has {shard['tokens']:,} tokens"
    return None


LEDGER = Ledger(
    file=CACHE,
    kind="store of activations",
    format=FORMAT,
    version=VERSION,
    types={
        "saematch": str,
        "model": str,
        "texts": dict,
        "options": dict,
        "saes": list,
        "shards": list,
    },
    lists={
        "saes": {"name": str, "checksum": str, "d_sae": int, "hook": str, "conventions": dict},
        "shards": {
            "tokens": int,
            "first_example": int,
            "last_example": int,
            "nonzeros": dict,
            "bytes": dict,
        },
    },
    results="shards",
    differences=cache_differences,
    fault=_fault,
)
