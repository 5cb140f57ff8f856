"""What cache.json of a store of activations holds, and which of its shards count."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import saematch
from saematch.errors import RunError
from saematch.manifest import checksum, differences, now, plain
from saematch.sae import SAE

CACHE = "cache.json"
FORMAT = "saematch activations"
VERSION = 1  # of the format; larger when a reader of an older one would misread it
TOKENS = "tokens"
_TYPES = {
    "saematch": str,
    "model": str,
    "texts": dict,
    "options": dict,
    "saes": list,
    "shards": list,
}
_ENTRIES = {
    "saes": {"name": str, "checksum": str, "d_sae": int, "hook": str, "conventions": dict},
    "shards": {
        "tokens": int,
        "first_example": int,
        "last_example": int,
        "nonzeros": dict,
        "bytes": dict,
    },
}


def new_cache(
    model: str, texts: Mapping[str, Any], saes: Mapping[str, SAE], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of a store that holds nothing yet.

    Raises:
        RunError: a name cannot be that of a folder beside `tokens`.
    """
    for name in saes:
        if not name or any(sign in name for sign in "/\\") or name[0] == "." or name == TOKENS:
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
        texts = {f"texts: {key}": value for key, value in content["texts"].items()}
        options = {**content["options"], **texts, "model": content["model"]}
        kept = {key: content[key] for key in ("saematch", "saes")}
        return {**kept, "command": "activations", "options": options}

    moved = [
        f"{old['name']} is read at {old['hook']} there, at {new['hook']} here"
        for old, new in zip(there["saes"], here["saes"], strict=False)
        if old["name"] == new["name"] and old["hook"] != new["hook"]
    ]
    return differences(asked(there), asked(here)) + moved


def read_cache(path: Path, or_none: bool = False) -> dict[str, Any] | None:
    """The cache.json of the folder `path`; with `or_none`, none where it is damaged.

    Raises:
        RunError: it is damaged, of another program, or of another format.
    """
    file = path / CACHE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        if or_none:
            return None
        raise RunError(f"{file} is damaged ({error}); write elsewhere, or overwrite it") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RunError(f"{file} is no store of activations: give another directory")
    if content.get("format_version") != VERSION:
        raise RunError(
            f"{file} has format {content.get('format_version')!r}, of another saematch; this one "
            f"reads {VERSION}"
        )
    fault = _fault(content)
    if fault is None:
        return content
    if or_none:
        return None
    raise RunError(f"{file} is damaged ({fault}); write elsewhere, or overwrite it")


def _fault(content: dict[str, Any]) -> str | None:
    for key, kind in _TYPES.items():
        if not isinstance(content.get(key), kind):
            return f"{key} is missing or no {kind.__name__}"
    if "finished" not in content:
        return "finished is missing"
    for group, keys in _ENTRIES.items():
        for entry in content[group]:
            for key, kind in keys.items():
                if not isinstance(entry, dict) or not isinstance(entry.get(key), kind):
                    return f"{key} of an entry of {group} is missing or no {kind.__name__}"
    for entry in content["saes"]:
        name = entry["name"]
        if "/" in name or "\\" in name or name.startswith(".") or name in ("", TOKENS):
            return f"the name {name!r}"
    return None
