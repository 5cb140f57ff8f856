"""What features do together: passing shares and gates of the shipped SAEs, and what they cost.

    python -m benchmarks.relations

For every adjacent pair of the shipped residual SAEs, on the shipped evaluation texts: the shares of
features that pass through by several statistics and cut-offs, and how many gates each rule finds;
beside them the same with the downstream activations moved on by seven texts, where every relation
is chance. And the time and memory of all statistics.
"""

from __future__ import annotations

import itertools
import resource
import time

import numpy as np
import polars as pl
import scipy.sparse as sp

import saematch
from benchmarks.correlation import feature_activations
from saematch.activations import FeatureActivations
from saematch.activations.partners import partners
from saematch.layers.gates import find_gates
from saematch.layers.passing import passing_table
from saematch.sae import shipped

KINDS = ("prose", "code", "reference")
CUTOFFS = (0.4, 0.5, 0.7, 0.9, 0.95)
MOVED = 7  # texts


def captured(names: list[str]) -> dict[str, FeatureActivations]:
    """Activations of the SAEs on all evaluation texts."""
    saes = {name: saematch.load(f"saematch:{name}") for name in names}
    parts: dict[str, list] = {name: [] for name in names}
    lengths = []
    for found in feature_activations(saes, KINDS, "cpu"):
        for name, f in found.items():
            parts[name].append(sp.csr_array(f.numpy()))
        lengths.append(len(found[names[0]]))
    example = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    return {
        name: FeatureActivations(sp.csr_array(sp.vstack(rows)), example)
        for name, rows in parts.items()
    }


def moved(activations: FeatureActivations) -> FeatureActivations:
    """The same activations on tokens that they do not belong to."""
    first = int(np.searchsorted(activations.example, MOVED))
    parts = [activations.matrix[first:], activations.matrix[:first]]
    return FeatureActivations(sp.csr_array(sp.vstack(parts)), activations.example)


def gate_counts(found: pl.DataFrame) -> dict[str, float | None]:
    """How many gates each rule finds, and how many of the published rule's are joint."""
    counts: dict[str, float | None] = {}
    for kind in ("and", "or"):
        rows = found.filter(kind=kind)
        counts |= {f"{kind} {rule}": int(rows[rule].sum()) for rule in ("paper", "certain")}
        counts[f"{kind} by both"] = rows.filter("paper", "certain").height
        joint = rows.filter("paper")["joint"].to_numpy()
        median = round(float(np.median(joint)), 3) if len(joint) else None
        counts[f"{kind} paper, median joint"] = median
    return counts


def main() -> None:
    names = shipped.residual_path()
    activations = captured(names)
    gates, passing = [], []
    for one, other in itertools.pairwise(names):
        a, b = activations[one], activations[other]
        for work in (find_gates, partners):
            work(a, b)  # compiled before the clock starts
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        partners(a, b)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        counts = gate_counts(find_gates(a, b))
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        row = {"pair": f"{one} -> {other}", "statistics s": round(seconds, 2)}
        row |= {"gates s": round(time.perf_counter() - start, 2), "more MB": more // 1024}
        gates.append(row | counts)
        chance = gate_counts(find_gates(a, moved(b)))
        gates.append({"pair": "  by chance", **chance})
        for kind, y in (("text", b), ("chance", moved(b))):
            table = passing_table(partners(a, y, k=1), CUTOFFS)
            label = pl.lit(f"{one} -> {other}").alias("pair"), pl.lit(kind).alias("tokens")
            passing.append(table.select(*label, pl.all()))
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_formatting="MARKDOWN", tbl_width_chars=400):
        print(pl.DataFrame(gates, infer_schema_length=None))
        table = pl.concat(passing).with_columns(pl.col(pl.Float64).round(3))
        for column in ("passing_forward", "passing_backward"):
            print(column)
            print(table.pivot("cutoff", index=["statistic", "pair", "tokens"], values=column))


if __name__ == "__main__":
    main()
