# pyright: strict, reportUnknownMemberType=false
"""What a run keeps of an SAE: its record in run.json and the tables of its features."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self, cast

import polars as pl
from torch import Tensor

from saematch.errors import RunError
from saematch.runs.records import SaeRecord
from saematch.sae.checksum import checksum
from saematch.sae.contexts import STATISTICS, features_of, with_frequency
from saematch.sae.records import ConventionsRecord
from saematch.sae.sae import SAE, Activation, Conventions

_FACTS = ("checksum", "d_in", "d_sae", "d_out", "threshold_kind", "excluded", "conventions")


@dataclass(frozen=True, eq=False)
class SaeTables:
    """What a run keeps of an SAE, so that its weights need not stay in memory."""

    name: str
    conventions: Conventions
    facts: dict[str, Any]  # of its record, but for its name in the run and its tables
    features: pl.DataFrame
    contexts: pl.DataFrame | None

    @property
    def d_in(self) -> int:
        return self.facts["d_in"]

    @property
    def d_out(self) -> int:
        return self.facts["d_out"]

    @classmethod
    def of(cls, sae: SAE) -> SaeTables:
        sidecar, sae = features_of(sae), with_frequency(sae)
        facts = {
            "checksum": checksum(sae),
            "d_in": sae.d_in,
            "d_sae": sae.d_sae,
            "d_out": sae.d_out,
            "threshold_kind": sae.threshold_kind,
            "excluded": {reason: int(mask.sum()) for reason, mask in sae.exclusions.items()},
            "conventions": ConventionsRecord.of(sae),
        }
        return cls(sae.name, sae.conventions, facts, features_frame(sae, sidecar), sidecar)

    @classmethod
    def again(cls, sae: SaeRecord, features: pl.DataFrame, contexts: pl.DataFrame | None) -> Self:
        """The same from what another run keeps of it."""
        told = sae.conventions
        facts = {name: getattr(sae, name) for name in _FACTS}
        known = Conventions(cast("Activation", told.activation), site=sae.site, source=told.source)
        return cls(known.name, known, facts, features, contexts)

    def record(self, name: str) -> SaeRecord:
        """Its record in a run that calls it `name`."""
        contexts = None if self.contexts is None else f"contexts/{name}.parquet"
        return SaeRecord(
            name=name, **self.facts, features=f"features/{name}.parquet", contexts=contexts
        )


def features_frame(sae: SAE, sidecar: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row per feature of an SAE.

    `feature`, `threshold`, `decoder_norm`, `encoder_norm`, `b_enc`, `frequency`, `mean_activation`,
    `max_activation`, and `excluded`: why the feature takes no part, or null. What is not known is
    null. `frequency` is the SAE's own where it has one, else that of `sidecar`, the table of
    `saematch.sae.contexts.features_of`.
    """
    reasons = [""] * sae.d_sae
    for reason, mask in sae.exclusions.items():
        for i in cast("list[int]", mask.nonzero().flatten().tolist()):
            reasons[i] += f", {reason}" if reasons[i] else reason

    def numbers(name: str, values: Tensor | None) -> pl.Series:
        shown = [None] * sae.d_sae if values is None else values.detach().float().cpu().numpy()
        return pl.Series(name, shown, dtype=pl.Float32).fill_nan(None)

    frame = pl.DataFrame(
        [
            pl.Series("feature", range(sae.d_sae), dtype=pl.Int64),
            numbers("threshold", sae.threshold),
            numbers("decoder_norm", cast("Tensor", sae.W_dec.norm(dim=1))),
            numbers("encoder_norm", cast("Tensor", sae.W_enc.norm(dim=0))),
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


def check_distinct(saes: Iterable[SaeTables]) -> None:
    seen: dict[tuple[str, str], SaeTables] = {}
    for sae in saes:
        same = sae.facts["checksum"], repr(sae.conventions.site)
        if (other := seen.setdefault(same, sae)) is not sae:
            raise RunError(
                f"{other.conventions.source} and {sae.conventions.source} are one SAE, the "
                "same weights of the same site; give it once"
            )
