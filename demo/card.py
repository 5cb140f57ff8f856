"""Model cards of what ships: a text of `demo/cards/` with the figures measured in it."""

from __future__ import annotations

from pathlib import Path

from demo.corpus import SOURCES

CARDS = Path(__file__).parent / "cards"


def write_card(name: str, folder: Path, report: dict, **values: object) -> None:
    """Write `README.md` from `demo/cards/<name>.md` and the figures of `demo.describe`."""
    card = (CARDS / f"{name}.md").read_text()
    values |= {"table": table(report), "sources": sources(), "n": len(report["saes"])}
    (folder / "README.md").write_text(card.format(**values, **report))


def table(report: dict) -> str:
    """The figures of some SAEs, as Markdown."""
    kinds = list(report["losses"])
    rows = [_row(name, figures, kinds) for name, figures in report["saes"].items()]
    columns = [column for column in rows[0] if all(column in row for row in rows)]
    lines = [columns, ["---"] * len(columns), *([row[c] for c in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(name: str, figures: dict, kinds: list[str]) -> dict[str, str]:
    losses = ", ".join(f"{figures[f'delta_loss_{kind}']:.3f}" for kind in kinds)
    threshold = figures.get("threshold")
    row = {
        "name": f"`{name}`",
        "hook": f"`{figures['hook']}`",
        "features": f"{figures['features']:,}",
        "activation": figures["activation"],
        "seed": str(figures["seed"]),
        "variance explained": f"{figures['variance_explained']:.3f}",
        "L0": f"{figures['l0']:.1f}",
        "dead": f"{figures['dead']:.1%}",
        f"delta-loss {', '.join(kinds)}": losses,
        "threshold": "{1:.2g} ({0:.2g} to {2:.2g})".format(*threshold) if threshold else "-",
    }
    if "trained_tokens" in figures:
        took, left = figures["trained_tokens"], figures["trained_massive"]
        row["trained on (massive)"] = f"{took:,} ({left:,})"
    return row | {"measured on (massive)": f"{figures['tokens']:,} ({figures['massive']:,})"}


def sources() -> str:
    """The texts and their licences, as Markdown."""
    rows = [f"| {kind} | {what} | {licence} |" for kind, what, licence in SOURCES.values()]
    return "\n".join(["| kind | text | licence |", "|---|---|---|", *rows])
