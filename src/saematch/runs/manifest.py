"""What run.json holds, and the table of an SAE's features."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
from torch import Tensor

import saematch
from saematch.files.directory import Ledger, outside
from saematch.runs.tables import SCHEMAS
from saematch.sae.checksum import checksum
from saematch.sae.contexts import STATISTICS, features_of, with_frequency
from saematch.sae.sae import SAE, Conventions

MANIFEST = "run.json"
FORMAT = "saematch run"
VERSION = 2  # of the format; larger when a reader of an older one would misread it
# what a pair's entry calls its tables, and the folder of each
PAIR_FOLDERS = {
    "table": "pairs",
    "candidates": "candidates",
    "sources": "sources",
    "nulls": "nulls",
}
BEGUN = "relating"  # relations of single pairs, until all are done
# what else run.json may tell of, each with tables of its own
SECTIONS = ("flow", "compare", "relations", "evaluation", BEGUN)
MOST_FEATURES = 1 << 28  # of an SAE; a larger number is damage
_APPLIED = ("activation", "k", "centred", "normalisation")


def new_manifest(
    command: str, options: Mapping[str, Any], saes: list[dict[str, Any]]
) -> dict[str, Any]:
    """The manifest of a run in which nothing is done yet."""
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "saematch": saematch.__version__,
        "command": command,
        # as it will be read again: tuples become lists
        "options": json.loads(json.dumps(plain(options))),
        "created": now(),
        "finished": None,
        "saes": saes,
        "pairs": [],
    }


def emptied(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of the same run with nothing done yet."""
    kept = {key: value for key, value in manifest.items() if key not in SECTIONS}
    return {**kept, "pairs": [], "finished": None}


def pair_place(kind: str, a: str, b: str) -> str:
    """Where a pair's table of that kind lies in the run directory."""
    return f"{PAIR_FOLDERS[kind]}/{a}--{b}.parquet"


def now() -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, eq=False)
class Outline:
    """What a run keeps of an SAE, so that its weights need not stay in memory."""

    name: str
    conventions: Conventions
    entry: dict[str, Any]  # in run.json, but for its name in the run and its tables
    features: pl.DataFrame
    contexts: pl.DataFrame | None

    @classmethod
    def of(cls, sae: SAE) -> Outline:
        sidecar, sae = features_of(sae), with_frequency(sae)
        return cls(sae.name, sae.conventions, _entry(sae), features_frame(sae, sidecar), sidecar)

    def named(self, name: str) -> dict[str, Any]:
        """Its entry in run.json."""
        return {
            "name": name,
            **self.entry,
            "features": f"features/{name}.parquet",
            "contexts": None if self.contexts is None else f"contexts/{name}.parquet",
        }


def _entry(sae: SAE) -> dict[str, Any]:
    return {
        "checksum": checksum(sae),
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "d_out": sae.d_out,
        "threshold_kind": sae.threshold_kind,
        "excluded": {reason: int(mask.sum()) for reason, mask in sae.exclusions.items()},
        "conventions": plain(dataclasses.asdict(sae.conventions)),
    }


def features_frame(sae: SAE, sidecar: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row per feature of an SAE.

    `feature`, `threshold`, `decoder_norm`, `encoder_norm`, `b_enc`, `frequency`, `mean_activation`,
    `max_activation`, and `excluded`: why the feature takes no part, or null. What is not known is
    null. `frequency` is the SAE's own where it has one, else that of `sidecar`, the table of
    `saematch.sae.contexts.features_of`.
    """
    reasons = [""] * sae.d_sae
    for reason, mask in sae.exclusions.items():
        for i in mask.nonzero().flatten().tolist():
            reasons[i] += f", {reason}" if reasons[i] else reason

    def numbers(name: str, values: Tensor | None) -> pl.Series:
        shown = [None] * sae.d_sae if values is None else values.detach().float().cpu().numpy()
        return pl.Series(name, shown, dtype=pl.Float32).fill_nan(None)

    frame = pl.DataFrame(
        [
            pl.Series("feature", range(sae.d_sae), dtype=pl.Int64),
            numbers("threshold", sae.threshold),
            numbers("decoder_norm", sae.W_dec.norm(dim=1)),
            numbers("encoder_norm", sae.W_enc.norm(dim=0)),
            numbers("b_enc", sae.b_enc),
            numbers("own_frequency", sae.frequency),
        ]
    )
    if sidecar is None:
        known = pl.DataFrame(schema={"feature": pl.Int64, **dict.fromkeys(STATISTICS, pl.Float32)})
    else:
        known = sidecar.select("feature", *STATISTICS)
    return frame.join(known, on="feature", how="left", maintain_order="left").select(
        *frame.columns[:-1],
        pl.coalesce("own_frequency", "frequency").alias("frequency"),
        *STATISTICS[1:],
        pl.Series("excluded", [reason or None for reason in reasons], dtype=pl.String),
    )


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What makes two manifests those of different runs, in words; none where they are of one."""
    found = []
    for key, what in (("saematch", "made by saematch"), ("command", "made by the command")):
        if there[key] != here[key]:
            found.append(f"{what} {there[key]}, not {here[key]}")
    options = [dict(_flat(manifest["options"])) for manifest in (there, here)]
    keys = sorted({*options[0], *options[1]})
    if there["options"].get("method") != here["options"].get("method"):
        keys = ["method"]  # its options follow from it
    for key in keys:
        old, new = (some.get(key) for some in options)
        if old != new:
            found.append(f"{key} is {_word(old)} there, {_word(new)} here")
    old_saes, new_saes = ([entry["name"] for entry in m["saes"]] for m in (there, here))
    if old_saes != new_saes:
        found.append(f"its SAEs are {', '.join(old_saes)}, not {', '.join(new_saes)}")
        return found
    for old, new in zip(there["saes"], here["saes"], strict=True):
        if old["checksum"] != new["checksum"]:
            found.append(f"{old['name']} has other weights there")
        conventions = old.get("conventions", {}), new["conventions"]
        for key in _APPLIED:
            one, other = (c.get(key) for c in conventions)
            if one != other:
                found.append(f"{old['name']}: {key} is {_word(one)} there, {_word(other)} here")
    return found


def listed(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The places of a run's tables, as its run.json has them."""
    for sae in manifest["saes"]:
        yield from (sae[kind] for kind in ("features", "contexts") if sae.get(kind))
    for pair in manifest["pairs"]:
        yield from (pair[kind] for kind in PAIR_FOLDERS)
    for key in SECTIONS:
        yield from manifest.get(key, {}).get("tables", {}).values()


def owned(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The places in a run's folders that are its own: what it lists, or would list of its SAEs.

    A writer that was killed leaves tables that are not listed yet.
    """
    names = [entry["name"] for entry in manifest["saes"]]
    yield from listed(manifest)
    yield from (f"{place}.parquet" for place in SCHEMAS if "/" in place)
    for name in names:
        yield from (f"{kind}/{name}.parquet" for kind in ("features", "contexts"))
    for a in names:
        for b in names:
            yield from (pair_place(kind, a, b) for kind in PAIR_FOLDERS)


def _fault(content: dict[str, Any]) -> str | None:
    """Places outside the run's own folders, and what a reader would stumble over."""
    known = {entry["name"] for entry in content["saes"]}
    if len(known) != len(content["saes"]):
        return "two SAEs of one name"
    for entry in content["saes"]:
        if fault := _sae_fault(entry):
            return fault
    for entry in content["pairs"]:
        stem = f"{entry['a']}--{entry['b']}.parquet"
        if entry["a"] not in known or entry["b"] not in known:
            return f"the pair {stem} of unknown SAEs"
        if any(entry[kind] != pair_place(kind, entry["a"], entry["b"]) for kind in PAIR_FOLDERS):
            return f"the places of {stem}"
        for key, (kinds, needed) in _FIGURES.items():
            value = entry["summary"].get(key)
            if (value is None and needed) or not isinstance(value, kinds):
                return f"{key} of {stem} is {value!r}"
    for key in SECTIONS:
        if key in content and (fault := _section_fault(key, content[key])):
            return fault
    return None


# of a pair's summary what is relied on, and whether it must be there
_FIGURES: dict[str, tuple[tuple[type, ...], bool]] = {
    **dict.fromkeys(("method", "fold"), ((str,), True)),
    **dict.fromkeys(
        ("features_a", "features_b", "excluded_a", "excluded_b", "assigned", "matched"),
        ((int,), True),
    ),
    **dict.fromkeys(("fdr", "p_cut", "gap", "relative_gap"), ((int, float, type(None)), False)),
}


def _sae_fault(entry: Mapping[str, Any]) -> str | None:
    name = entry["name"]
    if outside(name):
        return f"the name {name!r}"
    if isinstance(entry["d_sae"], bool) or not 0 < entry["d_sae"] < MOST_FEATURES:
        return f"d_sae of {name} is {entry['d_sae']!r}"
    if entry["features"] != f"features/{name}.parquet" or entry.get("contexts") not in (
        None,
        f"contexts/{name}.parquet",
    ):
        return f"the places of {name}"
    conventions = entry.get("conventions")
    site = conventions.get("site") if isinstance(conventions, dict) else None
    if not isinstance(conventions, dict) or not isinstance(site, dict | None):
        return f"the conventions of {name}"
    if site is not None:
        kinds = {"hook": str, "kind": str, "layer": int | None, "hook_out": str | None}
        if set(site) - set(kinds) or "hook" not in site:
            return f"the site of {name}"
        if not all(isinstance(site[key], kinds[key]) for key in site):
            return f"the site of {name}"
    return None


def _section_fault(key: str, section: Any) -> str | None:
    if not isinstance(section, dict):
        return f"{key} is no object"
    tables = section.get("tables", {})
    if not isinstance(tables, dict) or (key != BEGUN and "tables" not in section):
        return f"tables of {key} is missing or no object"
    for name, place in tables.items():
        if outside(name) or len(name) > 100 or place != f"{key}/{name}.parquet":
            return f"the place of {key}'s {name[:100]!r}"
    for row in section.get("pairs", []) if key in ("relations", BEGUN) else []:
        if not isinstance(row, dict) or not all(isinstance(row.get(k), str) for k in "ab"):
            return f"an entry of {key}'s pairs"
        if any(outside(row[side]) for side in "ab") or any(map(outside, row.get("tables", []))):
            return f"the places of {key}'s {row['a']}--{row['b']}"
    return None


def plain(value: Any) -> Any:
    """As JSON can hold it: what is not a finite number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _flat(options: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Options within options by both names: what differs is to be told, not all that holds it."""
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}: ")
        else:
            yield before + key, value


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "not set" if value is None else str(value)


LEDGER = Ledger(
    file=MANIFEST,
    kind="run directory",
    format=FORMAT,
    version=VERSION,
    types={"saematch": str, "command": str, "options": dict, "saes": list, "pairs": list},
    lists={
        "saes": {"name": str, "checksum": str, "d_sae": int, "features": str},
        "pairs": {
            "a": str,
            "b": str,
            **dict.fromkeys(PAIR_FOLDERS, str),
            "summary": dict,
            "notes": list,
        },
    },
    results="pairs",
    differences=differences,
    fault=_fault,
)
