"""The circuits of a run, in `circuits/nodes.parquet` and `circuits/edges.parquet`."""

from __future__ import annotations

from typing import Any

import polars as pl
from msgspec.structs import replace

from saematch.circuits.circuit import EDGES, NODES, Circuit
from saematch.errors import RunError, names_there
from saematch.files.differences import option_differences
from saematch.runs.records import CircuitFigures
from saematch.runs.run import Run

ASKED = ("prompt", "sites", "model", "attention", "options")


def circuits(run: Run) -> list[CircuitFigures]:
    """What the circuits of a run are of, in the order in which they were made."""
    there = run.section("circuits")
    return [] if there is None else there.circuits


def read_circuit(run: Run, slug: str | None = None) -> Circuit:
    """A circuit of a run.

    Args:
        run: the run.
        slug: its name; not needed where there is one alone.

    Raises:
        RunError: the run has no circuit of that name, or several where none is named; a table that
            cannot be read.
    """
    known = {one.slug: one for one in circuits(run)}
    if not known:
        raise RunError(f"{run.path} has no circuits: saematch circuit makes them")
    if slug is None:
        if len(known) > 1:
            raise RunError(f"{run.path} has several circuits, name one: {', '.join(known)}")
        slug = next(iter(known))
    if slug not in known:
        raise RunError(f"{run.path} has no circuit {slug!r}; {names_there(slug, [*known])}")
    nodes, edges = (run.table("circuits", name).filter(circuit=slug) for name in ("nodes", "edges"))
    ends = pl.concat([edges["source"], edges["target"]])
    if (
        nodes["node"].to_list() != [*range(len(nodes))]
        or not ends.is_in(nodes["node"].implode()).all()
    ):
        raise RunError(
            f"{run.path / 'circuits'}: nodes of {slug!r} are not numbered from 0, or an edge has "
            "none at an end; make it again with --overwrite (overwrite=True)"
        )
    return Circuit(known[slug], nodes, edges)


def is_kept(run: Run, asked: CircuitFigures, overwrite: bool = False) -> bool:
    """Whether a run has a circuit that was made as is asked; only the fields of `ASKED` count.

    Raises:
        RunError: it has one of that name that was made otherwise, and is not to be overwritten.
    """
    there = next((one for one in circuits(run) if one.slug == asked.slug), None)
    if there is None or overwrite:
        return False
    different = option_differences(_asked(there), _asked(asked))
    if different:
        raise RunError(
            f"{run.path} has another circuit {asked.slug!r}: {'; '.join(different)}; give this one "
            "a name of its own (slug=, --slug), or replace that with --overwrite (overwrite=True)"
        )
    return True


def _asked(figures: CircuitFigures) -> dict[str, Any]:
    # the model has an order of its own
    found = {key: getattr(figures, key) for key in ASKED}
    return {**found, "sites": sorted(figures.sites)}


def keep_circuit(run: Run, circuit: Circuit) -> None:
    """Write a circuit to a run, in the place of one of its name; the others stay.

    Raises:
        RunError: another program is writing to the run, or its tables cannot be read.
    """
    there = run.section("circuits")
    others = [one for one in circuits(run) if one.slug != circuit.name]
    names = [one.slug for one in others]
    tables = {"nodes": circuit.nodes.select(*NODES), "edges": circuit.edges.select(*EDGES)}
    if there is not None:
        if len(others) < len(there.circuits):
            # rows of a circuit that is not listed do not count
            run.update(circuits=replace(there, circuits=others))
        for name, columns in (("nodes", NODES), ("edges", EDGES)):
            kept = run.table("circuits", name).filter(pl.col("circuit").is_in(names))
            tables[name] = pl.concat(
                [kept.select(pl.col(c).cast(k) for c, k in columns.items()), tables[name]]
            )
    run.add("circuits", tables, {"circuits": [*others, circuit.figures]}, grows=True)
