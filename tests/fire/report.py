"""Results by kind: how many, and one of each that can be made again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

GOOD = ("fine", "refused", "skipped")


def findings(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What went wrong, faults of the harness among it."""
    return [result for result in results if result["kind"] not in GOOD]


def grouped(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Findings by kind and place, the most frequent first; `example` is an id, `how` its fault."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in sorted(findings(results), key=lambda r: str(r["id"])):
        groups.setdefault((result["kind"], result.get("place", "")), []).append(result)
    rows = []
    for (kind, place), found in groups.items():
        parts = [str(result["id"]).split("::") for result in found]
        rows.append(
            {
                "kind": kind,
                "place": place,
                "count": len(found),
                "surfaces": dict(Counter(part[0] for part in parts).most_common()),
                "mutations": dict(Counter(p[2] for p in parts if len(p) > 3).most_common()),
                "example": found[0]["id"],
                "what": found[0].get("what", ""),
                "how": found[0]["how"],
            }
        )
    return sorted(rows, key=lambda row: (-row["count"], row["kind"], row["place"]))


def lines(title: str, results: list[dict[str, Any]], seconds: float) -> list[str]:
    """A report in words."""
    kinds = Counter(result["kind"] for result in results)
    counts = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    said = [f"{title}: {len(results)} in {seconds:.0f} s: {counts}"]
    for row in grouped(results):
        said.append(f"{row['count']:5}  {row['kind']}  {row['place']}")
        said.append(f"       {row['example']}")
        said.append("       " + ": ".join(filter(None, (row["what"], row["how"][:160]))))
    return said
