"""What run.json holds, and the table of an SAE's features."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
import torch
from torch import Tensor

import saematch
from saematch.contexts import STATISTICS, features_of, with_frequency
from saematch.ledger import Ledger, outside
from saematch.methods import Method
from saematch.sae import SAE, Conventions

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
_TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold", "selection_scale", "W_skip")
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


def pair_place(kind: str, a: str, b: str) -> str:
    """Where a pair's table of that kind lies in the run directory."""
    return f"{PAIR_FOLDERS[kind]}/{a}--{b}.parquet"


def now() -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def method_options(method: Method, **others: Any) -> dict[str, Any]:
    """A method as plain values, for a run's options."""

    def words(views):
        # not str(view): it rounds the weight
        return [f"{view.name}:{view.weight!r}" for view in views]

    fields = {f.name: getattr(method, f.name) for f in dataclasses.fields(method)}
    fields |= {"views": words(method.views), "confirm": words(method.confirm)}
    return {"method": fields.pop("name"), **fields, **others}


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


def checksum(sae: SAE) -> str:
    """`sha256:` and the digest over the weights in canonical form.

    For each tensor that the SAE has, in the order W_enc, W_dec, b_enc, b_dec, threshold,
    selection_scale, W_skip: its name, dtype and shape as text, then its bytes, row by row. It does
    not depend on where the SAE lies or on the format it was read from.
    """
    digest = hashlib.sha256()
    for name in _TENSORS:
        value: Tensor | None = getattr(sae, name)
        if value is not None:
            value = value.detach().cpu().contiguous()
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


def features_frame(sae: SAE, sidecar: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row per feature of an SAE.

    `feature`, `threshold`, `decoder_norm`, `encoder_norm`, `b_enc`, `frequency`, `mean_activation`,
    `max_activation`, and `excluded`: why the feature takes no part, or null. What is not known is
    null. `frequency` is the SAE's own where it has one, else that of `sidecar`, the table of
    `saematch.contexts.features_of`.
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


def _fault(content: dict[str, Any]) -> str | None:
    """Places outside the run's own folders, and pairs of SAEs that are not there."""
    known = {entry["name"] for entry in content["saes"]}
    for entry in content["saes"]:
        name = entry["name"]
        if outside(name):
            return f"the name {name!r}"
        if entry["features"] != f"features/{name}.parquet" or entry.get("contexts") not in (
            None,
            f"contexts/{name}.parquet",
        ):
            return f"the places of {name}"
    for entry in content["pairs"]:
        stem = f"{entry['a']}--{entry['b']}.parquet"
        if entry["a"] not in known or entry["b"] not in known:
            return f"the pair {stem} of unknown SAEs"
        if any(entry[kind] != pair_place(kind, entry["a"], entry["b"]) for kind in PAIR_FOLDERS):
            return f"the places of {stem}"
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
