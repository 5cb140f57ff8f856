# pyright: strict, reportUnknownMemberType=false
"""A description of an SAE before it is matched: sizes, conventions, norms, guesses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from torch import Tensor

from saematch.files.html import table
from saematch.sae.sae import SAE

QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


class Row(NamedTuple):
    """One line of a description."""

    section: str
    label: str
    value: str


@dataclass(frozen=True)
class Description:
    """What `saematch.inspect` gives: rows to read, and the same facts for programs."""

    name: str
    rows: tuple[Row, ...]
    facts: dict[str, object]

    def sections(self) -> dict[str, list[Row]]:
        """The rows by section, in order."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.section, []).append(row)
        return found

    def __repr__(self) -> str:
        width = max(len(row.label) for row in self.rows)
        lines = [self.name]
        for section, rows in self.sections().items():
            lines += ["", section, *(f"  {row.label:{width}}  {row.value}" for row in rows)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<h4>{escape(self.name)}</h4>"]
        for section, rows in self.sections().items():
            cells = "".join(
                f"<tr><td>{escape(row.label)}</td><td>{escape(row.value)}</td></tr>" for row in rows
            )
            parts.append(f"<b>{escape(section)}</b><table>{cells}</table>")
        return "\n".join(parts)


def described(sae: SAE) -> Description:
    """All that there is to know of an SAE."""
    return Description(sae.name, tuple(describe(sae)), as_dict(sae))


def describe(sae: SAE) -> list[Row]:
    """The rows that `saematch inspect` shows.

    Sizes by name, how the SAE is applied, quantiles (minimum, 5 %, median, 95 %, maximum) of
    thresholds and norms over usable features, excluded features by reason, its source, and every
    guess made when it was read.
    """
    usable = ~sae.excluded
    rows = [
        Row("sizes", "d_in (inputs)", f"{sae.d_in:,}"),
        Row("sizes", "d_sae (features)", f"{sae.d_sae:,}"),
    ]
    if sae.d_out != sae.d_in:
        rows.append(Row("sizes", "d_out (outputs)", f"{sae.d_out:,}"))
    rows += [Row("how it is applied", label, value) for label, value in _application(sae)]
    statistics: dict[str, Tensor | None] = {
        "threshold": sae.threshold,
        "decoder row norm": sae.W_dec.norm(dim=1),
        "encoder column norm": sae.W_enc.norm(dim=0),
        "encoder bias": sae.b_enc,
        "frequency": sae.frequency,
    }
    rows += [
        Row(
            "usable features: minimum, 5 %, median, 95 %, maximum",
            label,
            _quantiles(values[usable]),
        )
        for label, values in statistics.items()
        if values is not None
    ]
    rows.append(Row("excluded features", "in all", f"{int(sae.excluded.sum()):,} of {sae.d_sae:,}"))
    rows += [
        Row("excluded features", reason, f"{int(mask.sum()):,}")
        for reason, mask in sae.exclusions.items()
    ]
    rows += [Row("where it came from", label, value) for label, value in _origin(sae)]
    notes = sae.conventions.notes
    rows += [Row("guesses and warnings", str(i), note) for i, note in enumerate(notes, 1)]
    if not notes:
        rows.append(Row("guesses and warnings", "", "none"))
    return rows


def html(sae: SAE) -> str:
    """The rows that matter before matching, as a small table for notebooks."""
    shown = {"sizes", "how it is applied", "excluded features"}
    labels = {
        "threshold": "threshold (minimum, 5 %, median, 95 %, maximum)",
        "site": "hook point",
        "model": "model",
        "source": "source",
    }
    rows: list[tuple[str, str]] = []
    for row in describe(sae):
        label = labels.get(row.label)
        if row.section == "excluded features":
            label = f"excluded features, {row.label}"
        elif row.section in shown:
            label = row.label
        if label is not None:
            rows.append((label, row.value))
    return table(f"SAE {sae.name}", rows)


def _application(sae: SAE) -> list[tuple[str, str]]:
    conventions = sae.conventions
    activation = conventions.activation + (f", k = {conventions.k}" if conventions.k else "")
    centred = "b_dec is subtracted" if conventions.centred else "as it is"
    per_token = {"none": "none", "layer_norm": "layer norm", "constant_norm": "constant norm"}
    rows = [
        ("activation", activation),
        ("thresholds", sae.threshold_kind),
        ("input", centred),
        ("normalisation per token", per_token[conventions.normalisation]),
    ]
    if conventions.norm_factor is not None:
        rows.append(("input scale folded in", f"{conventions.norm_factor:.6g}"))
    if sae.selection_scale is not None:
        rows.append(("top-k ranks", "pre-activations times a scale per feature"))
    if sae.W_skip is not None:
        rows.append(("skip connection", "yes"))
    return rows


def _origin(sae: SAE) -> list[tuple[str, str]]:
    conventions = sae.conventions
    site = conventions.site
    values = {
        "source": conventions.source,
        "commit": conventions.commit,
        "format": conventions.family,
        "architecture, in its own words": conventions.architecture,
        "model": conventions.model,
        "site": site and f"{site} ({site.stream})",
        "layer": site and site.layer,
        "writes to": site and site.hook_out,
        "stored as": conventions.dtype,
        "neuronpedia": conventions.neuronpedia_id,
    }
    return [(label, str(value)) for label, value in values.items() if value not in (None, "")]


def _quantiles(values: Tensor) -> str:
    if values.numel() == 0:
        return "no usable feature"
    # torch.quantile accepts neither more than 2^24 values nor half precision
    ordered = values.float().sort().values
    at = [round(q * (ordered.numel() - 1)) for q in QUANTILES]
    return "  ".join(f"{float(ordered[place]):.4g}" for place in at)


def as_dict(sae: SAE) -> dict[str, object]:
    """The same facts for programs: conventions as plain values, sizes, excluded counts."""
    return {
        "name": sae.name,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "d_out": sae.d_out,
        "threshold_kind": sae.threshold_kind,
        "excluded": {reason: int(mask.sum()) for reason, mask in sae.exclusions.items()},
        "conventions": dataclasses.asdict(sae.conventions),
    }
