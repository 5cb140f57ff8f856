# pyright: strict, reportUnnecessaryContains=false
"""What stands in each table of a run, so that no reader stumbles over a damaged or foreign one.

Columns are declared where readers rely on them; there may be others.
docs/reference/run-directory.md says what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from saematch.errors import RunError
from saematch.files.foreign import one_line, read_parquet, regular

FEW_ROWS, ROWS_PER_BYTE = 100_000, 4  # of a table whose length nothing else tells
Kind = Literal["integer", "number", "text", "flag", "list"]


@dataclass(frozen=True)
class Schema:
    """The columns of a kind of table."""

    columns: Mapping[str, Kind]
    never_null: frozenset[str] = frozenset()
    # columns of feature numbers, and of which SAE: "a" or "b" of the pair, or the column naming it
    features: Mapping[str, str] = field(default_factory=dict[str, str])
    rows_of: str | None = None  # one row per feature of that SAE, in order
    # from 1, among the features of an SAE
    ranks: Mapping[str, str] = field(default_factory=dict[str, str])


def _of(
    text: str = "", integer: str = "", number: str = "", flag: str = "", lists: str = ""
) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    groups: tuple[tuple[str, Kind], ...] = (
        (text, "text"),
        (integer, "integer"),
        (number, "number"),
        (flag, "flag"),
        (lists, "list"),
    )
    for names, kind in groups:
        kinds |= dict.fromkeys(names.split(), kind)
    return kinds


_PARTNERS = _of(integer="feature rank", number="score p_value")

# by place: of tables of a pair or an SAE by their folder, of the others by folder and name
SCHEMAS: dict[str, Schema] = {
    "features": Schema(
        _of(
            integer="feature",
            number="threshold decoder_norm encoder_norm b_enc frequency mean_activation "
            "max_activation",
            text="excluded",
        ),
        rows_of="a",
    ),
    "contexts": Schema(
        _of(integer="feature", number="frequency mean_activation max_activation", lists="contexts"),
        frozenset({"feature"}),
        {"feature": "a"},
    ),
    "pairs": Schema(
        _of(
            integer="feature target rank_in_row rank_in_column",
            number="score p_value decoder_cosine",
            flag="matched mutual",
            text="excluded",
        ),
        frozenset({"matched", "mutual"}),
        {"target": "b"},
        rows_of="a",
    ),
    "candidates": Schema(
        {**_PARTNERS, "target": "integer"},
        frozenset({"feature", "rank", "target"}),
        {"feature": "a", "target": "b"},
        ranks={"rank": "b"},
    ),
    "sources": Schema(
        {**_PARTNERS, "source": "integer"},
        frozenset({"feature", "rank", "source"}),
        {"feature": "b", "source": "a"},
        ranks={"rank": "a"},
    ),
    "nulls": Schema(_of(integer="observed", number="low high null")),
    "labels": Schema(
        _of(integer="feature", text="label source"),
        frozenset({"feature", "label", "source"}),
        {"feature": "a"},
    ),
    "flow/tracks": Schema(
        _of(text="mode site", integer="track position feature", number="score p_value"),
        frozenset({"mode", "site", "track", "position", "feature"}),
        {"feature": "site"},
    ),
    "flow/spans": Schema(
        _of(
            text="mode start end weakest",
            integer="track start_feature end_feature length skipped",
            number="weakest_score weakest_p",
        ),
        frozenset({"mode", "track", "start", "end", "length"}),
        {"start_feature": "start", "end_feature": "end"},
    ),
    "flow/lifespans": Schema(
        _of(text="mode start site", integer="steps started alive", number="share low high"),
        frozenset({"mode", "start", "site"}),
    ),
    "flow/turnover": Schema(
        _of(
            text="mode site",
            integer="features births deaths",
            number="birth_share birth_low birth_high death_share death_low death_high",
        ),
        frozenset({"mode", "site", "features"}),
    ),
    "flow/splits": Schema(
        _of(text="kind a b", integer="feature part parts", number="score p_value"),
        frozenset({"kind", "a", "b", "feature", "part", "parts"}),
    ),
    "flow/composition": Schema(
        _of(
            text="links a b",
            integer="steps features composed direct both equal",
            number="agreement low high kept only_direct only_composed",
        ),
        frozenset({"links", "steps"}),
    ),
    "flow/origins": Schema(
        _of(
            text="site origin site_R site_M site_A",
            integer="feature source_R source_M source_A",
            number="s_R s_M s_A p_R p_M p_A",
        ),
        frozenset({"site", "feature"}),
        {"feature": "site", **{f"source_{k}": f"site_{k}" for k in "RMA"}},
    ),
    "flow/edges": Schema(
        _of(
            text="source_site target_site kind",
            integer="source target rank source_rank",
            number="score cosine p_value source_p_value",
        ),
        frozenset({"source_site", "target_site", "source", "target", "kind"}),
        {"source": "source_site", "target": "target_site"},
    ),
    "flow/communities": Schema(
        _of(
            text="label",
            integer="community size sites first_layer last_layer",
            number="weight",
            lists="tokens members",
        ),
        frozenset({"community", "members"}),
    ),
    "relations/targets": Schema(
        _of(text="a b statistic", integer="feature rank target", number="value"),
        frozenset({"a", "b", "statistic", "feature", "rank", "target"}),
        {"feature": "a", "target": "b"},
    ),
    "relations/sources": Schema(
        _of(text="a b statistic", integer="feature rank source", number="value"),
        frozenset({"a", "b", "statistic", "feature", "rank", "source"}),
        {"feature": "b", "source": "a"},
    ),
    "relations/passing": Schema(_of(text="a b statistic", number="cutoff passing_forward")),
    "relations/gates": Schema(
        _of(text="a b kind", integer="feature first second"),
        frozenset({"a", "b", "kind", "feature", "first", "second"}),
        {"feature": "b", "first": "a", "second": "a"},
    ),
    "compare/features": Schema(
        _of(text="sae", integer="feature shared_with cluster"),
        frozenset({"sae", "feature"}),
        {"feature": "sae"},
    ),
    "compare/clusters": Schema(
        _of(integer="cluster saes size", flag="complete tangled"), frozenset({"cluster"})
    ),
    "evaluation/values": Schema(
        _of(
            text="a b method find texts fit estimate links carry metric",
            number="skipped q value low high",
            integer="examples tokens",
        ),
        frozenset({"a", "b", "texts", "estimate", "metric"}),
    ),
    "evaluation/transports": Schema(
        _of(text="a b reach", integer="k source target", number="weight share", flag="carried"),
        frozenset({"a", "b", "k", "carried", "source", "target"}),
        {"source": "a", "target": "b"},
    ),
    "judging/cases": Schema(
        _of(
            text="kind a b near",
            integer="case path step steps feature_a feature_b feature_near",
            number="score score_quantile p_value margin decoder_cosine",
            flag="matched mutual",
            lists="features_others",
        ),
        frozenset({"case", "kind", "path", "step", "steps", "a", "feature_a", "b", "feature_b"}),
        {"feature_a": "a", "feature_b": "b", "feature_near": "near"},
    ),
    "judging/verdicts": Schema(
        _of(text="judge problem", integer="case grade", number="probability value", lists="votes"),
        frozenset({"case", "judge", "votes"}),
    ),
    "causes/deactivation": Schema(
        _of(
            text="a b method",
            integer="feature example position active",
            number="size before after pre_before pre_after foretold cosine",
            flag="control",
            lists="sources",
        ),
        frozenset({"a", "b", "feature", "method", "control", "sources", "before", "after"}),
        {"feature": "b"},
    ),
    "causes/substitution": Schema(
        _of(
            text="a b method",
            integer="source target windows tokens",
            number="cosine frequency removed control substituted target_removed trajectory "
            "trajectory_other trajectory_size p_value score correlation",
        ),
        frozenset({"a", "b", "source", "method", "removed"}),
        {"source": "a", "target": "b"},
    ),
    "causes/tracks": Schema(
        _of(
            text="start",
            integer="track feature length windows tokens",
            number="together alone largest control_together control_alone control_largest",
        ),
        frozenset({"track", "start", "feature", "length", "together", "control_together"}),
        {"feature": "start"},
    ),
    "causes/effects": Schema(
        _of(text="a b", integer="source target", number="effect cosine"),
        frozenset({"a", "b", "source", "target", "effect"}),
        {"source": "a", "target": "b"},
    ),
    "circuits/nodes": Schema(
        _of(
            text="circuit kind site token group_name label",
            integer="node layer feature position track group",
            number="activation influence probability",
        ),
        frozenset({"circuit", "node", "kind", "position", "influence"}),
        {"feature": "site"},
    ),
    "circuits/edges": Schema(
        _of(text="circuit", integer="source target", number="effect share"),
        frozenset({"circuit", "source", "target", "effect", "share"}),
    ),
    "steering/texts": Schema(
        _of(
            text="sweep way prompt text",
            integer="sample tokens",
            number="strength activation firing loss distinct_1 distinct_2 distinct_3 concept "
            "fluency",
        ),
        frozenset({"sweep", "way", "strength", "prompt", "sample", "text", "tokens"}),
    ),
    "steering/means": Schema(
        _of(
            text="sweep way",
            integer="texts tokens",
            number="strength activation activation_low activation_high firing loss loss_low "
            "loss_high perplexity distinct_1 distinct_2 distinct_3 concept fluency",
        ),
        frozenset({"sweep", "way", "strength", "texts"}),
    ),
    "steering/features": Schema(
        _of(text="sweep way site", integer="feature", number="amount output_score"),
        frozenset({"sweep", "way", "site", "feature"}),
        {"feature": "site"},
    ),
    "dashboards": Schema(
        _of(
            integer="feature",
            number="max_activation",
            lists="frequency histogram places quantiles logits_top logits_bottom carried_top "
            "carried_bottom",
        ),
        frozenset({"max_activation", "frequency", "histogram", "places", "quantiles"}),
        rows_of="a",
    ),
    "dashboards/A--B": Schema(
        _of(
            integer="feature target",
            number="share forward backward",
            lists="values target_values",
        ),
        frozenset({"feature", "target", "values", "target_values"}),
        {"feature": "a", "target": "b"},
    ),
}


def read_run_table(
    root: Path, place: str, widths: Mapping[str, int], a: str | None = None, b: str | None = None
) -> pl.DataFrame:
    """A table of a run, checked.

    Args:
        root: the run directory.
        place: of the table in it.
        widths: how many features each SAE of the run has.
        a: the SAE, or the first of the pair, that the table is of.
        b: the second of the pair.

    Raises:
        RunError: it cannot be read, lacks a column, has one of another type, or speaks of features
            that there are not.
    """
    kind = place.split("/", maxsplit=1)[0] if a is not None else place.removesuffix(".parquet")
    if b is not None and f"{kind}/A--B" in SCHEMAS:
        kind = f"{kind}/A--B"
    schema = SCHEMAS.get(kind)
    own = {key: widths[name] for key, name in (("a", a), ("b", b)) if name is not None}
    most = own.get(schema.rows_of) if schema is not None and schema.rows_of else None
    if kind == "contexts":
        most = own["a"]
    if most is None:
        # one value repeated takes no room in the file, and all of it in memory
        most = max(FEW_ROWS, ROWS_PER_BYTE * regular(root / place, error=RunError).st_size)
    table = read_parquet(root / place, label=root / place, error=RunError, most_rows=most)
    if schema is None:
        return table
    table = _typed(schema, table)
    if (fault := _fault(schema, table, widths, own)) is not None:
        told = f"{root / place}: {fault}; make it again, or take the file that was written"
        raise RunError(one_line(told))
    return table


_FITS: dict[str, Callable[[pl.DataType], bool]] = {
    "integer": lambda kind: kind.is_integer(),
    "number": lambda kind: kind.is_numeric(),
    "text": lambda kind: kind in (pl.String, pl.Enum, pl.Categorical),
    "flag": lambda kind: kind == pl.Boolean,
    "list": lambda kind: kind == pl.List,
}


# a column of nothing but nulls may come without a type
_TYPES = {"integer": pl.Int64, "number": pl.Float64, "text": pl.String, "flag": pl.Boolean}


def _typed(schema: Schema, table: pl.DataFrame) -> pl.DataFrame:
    untyped = [name for name, kind in table.schema.items() if kind == pl.Null]
    known = {name: _TYPES.get(schema.columns.get(name, "")) for name in untyped}
    return table.cast({name: kind for name, kind in known.items() if kind is not None})


def _fault(
    schema: Schema, table: pl.DataFrame, widths: Mapping[str, int], own: Mapping[str, int]
) -> str | None:
    missing = [name for name in schema.columns if name not in table.columns]
    if missing:
        has = ", ".join(table.columns) or "none"
        return f"no column {', '.join(missing)}; it has {has}"
    for name, expected in schema.columns.items():
        kind = table.schema[name]
        if not (_FITS[expected](kind) or (kind == pl.Null and name not in schema.never_null)):
            return f"column {name} holds {kind}, expected {expected}s"
        if name in schema.never_null and table[name].null_count():
            return f"column {name} has gaps"
    if schema.rows_of is not None:
        width = own[schema.rows_of]
        numbers = pl.Series(range(width), dtype=pl.Int64)
        if not table["feature"].cast(pl.Int64, strict=False).equals(numbers, check_names=False):
            return f"its features are not 0 to {width - 1:,}, one a row in order"
    for name, whose in schema.features.items():
        if fault := _index_fault(table, name, whose, widths, own):
            return fault
    for name, whose in schema.ranks.items():
        if fault := _between(table[name], 1, own[whose] + 1, name):
            return fault
    return None


def _index_fault(
    table: pl.DataFrame, name: str, whose: str, widths: Mapping[str, int], own: Mapping[str, int]
) -> str | None:
    if whose in own:
        return _between(table[name], 0, own[whose], name)
    of = table[whose].cast(pl.String)
    unknown = of.drop_nulls().filter(~of.drop_nulls().is_in(list(widths)))
    if len(unknown):
        return f"column {whose} names {unknown[0]!r}, which is no SAE of the run"
    width = of.replace_strict(dict(widths), return_dtype=pl.Int64, default=0)
    wrong = ((table[name] < 0) | (table[name] >= width)).fill_null(value=False)
    if wrong.any():
        place = wrong.arg_true()[0]
        return f"column {name} has {table[name][place]} of {of[place]}, beyond its features"
    return None


def _between(values: pl.Series, low: int, high: int, name: str) -> str | None:
    wrong = values.filter((values < low) | (values >= high))
    return f"column {name} has {wrong[0]}, expected {low} to {high - 1:,}" if len(wrong) else None
