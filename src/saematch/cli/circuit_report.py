"""A circuit as text: what is predicted, supernodes, and the strongest edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from saematch.cli.report import new_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from saematch.circuits.circuit import Circuit

NAMED = 40  # characters of a name


def show_circuit(console: Console, circuit: Circuit, shown: int) -> None:
    """Print a circuit; `shown`: how many supernodes, features and edges, at most."""
    from rich.text import Text

    figures, nodes = circuit.figures, circuit.nodes
    units = circuit.units()
    console.print(Text(f"{figures.slug}: {_prompt(circuit)}", style="bold"))
    said = [
        f"{_token(token)} {chance:.1%}"
        for token, chance in nodes.filter(kind="logit").select("token", "probability").iter_rows()
    ]
    console.print(Text(f"predicted: {', '.join(said)}"))
    features = nodes.filter(kind="feature")
    grouped = features["group"].drop_nulls()
    console.print(
        Text(
            f"{figures.nodes:,} of {figures.nodes_before:,} nodes and {figures.edges:,} of "
            f"{figures.edges_before:,} effects are kept, attention {figures.attention}; "
            f"{len(grouped):,} of {len(features):,} features are in {figures.supernodes:,} "
            "supernodes"
        )
    )
    if figures.completeness is not None and figures.replacement is not None:
        told = f"completeness {figures.completeness:.3f}, replacement {figures.replacement:.3f}"
        console.print(Text(told))
    names = dict(_named(circuit, units))
    inner = units.filter(~pl.col("kind").is_in(["token", "logit"]))
    console.print()
    console.print(_units(inner.sort("influence", descending=True).head(shown), names))
    console.print(_edges(circuit, units, names, shown))
    console.print(
        Text(
            "Influence: the share of the paths to the predictions that go through it. Effect: in "
            "units of the target's pre-activation or logit, summed over a supernode. Share: of "
            "all that comes into the target. Edges are ordered by share times the target's "
            "influence.",
            style="dim",
        )
    )


def _prompt(circuit: Circuit) -> str:
    return "|".join(_token(text) for text in circuit.figures.tokens)


def _token(text: str) -> str:
    from saematch.cli.examples import visible

    return visible(text, alone=True)


def _named(circuit: Circuit, units: pl.DataFrame) -> list[tuple[int, str]]:
    """A short name of each unit, by which edges speak of it."""
    from saematch.cli.examples import visible

    nodes = circuit.nodes.to_dicts()
    found = []
    for unit, kind, position, members, name in units.select(
        "unit", "kind", "position", "nodes", "name"
    ).iter_rows():
        token = _token(circuit.figures.tokens[position])
        where = f"at {position} {token}"
        short = visible(name)[:NAMED]
        if kind == "token":
            said = f"token {where}"
        elif kind == "logit":
            said = f"predicts {_token(name)}"
        elif kind == "error":
            said = f"error of {nodes[unit]['site']} {where}"
        else:
            said = f"{_members([nodes[n] for n in members])} {where}"
            said += f" ({short})" if short else ""
        found.append((unit, said))
    return found


def _members(nodes: list[dict[str, Any]]) -> str:
    """A feature, or from which to which a supernode goes."""
    first, last = nodes[0], nodes[-1]
    said = f"{first['site']} #{first['feature']}"
    return said if first is last else f"{said} → {last['site']} #{last['feature']}"


def _units(units: pl.DataFrame, names: dict[int, str]) -> Table:
    from rich.text import Text

    table = new_table("What matters most")
    table.add_column("influence", justify="right")
    table.add_column("nodes", justify="right")
    table.add_column("what")
    for unit, influence, members in units.select("unit", "influence", "nodes").iter_rows():
        table.add_row(f"{influence:.1%}", str(len(members)), Text(names[unit]))
    return table


def _edges(circuit: Circuit, units: pl.DataFrame, names: dict[int, str], shown: int) -> Table:
    from rich.text import Text

    table = new_table("Strongest edges")
    table.add_column("share", justify="right")
    table.add_column("effect", justify="right")
    table.add_column("from")
    table.add_column("to")
    influence = units.select(pl.col("unit").alias("target"), "influence")
    strongest = (
        circuit.between()
        .join(influence, on="target", how="left")
        .sort(
            pl.col("share") * pl.col("influence"),
            "source",
            "target",
            descending=[True, False, False],
        )
        .head(shown)
    )
    for source, target, effect, share in strongest.select(
        "source", "target", "effect", "share"
    ).iter_rows():
        table.add_row(f"{share:.1%}", f"{effect:+.3g}", Text(names[source]), Text(names[target]))
    return table
