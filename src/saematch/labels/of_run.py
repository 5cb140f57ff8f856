"""The labels of a run's features: those given to it, and else what features fire on."""

from __future__ import annotations

import polars as pl

from saematch.labels.neuronpedia import Label
from saematch.labels.top_tokens import feature_labels, feature_tokens, top_tokens
from saematch.runs.run import Run

TOP_TOKENS = "top tokens"  # the source of labels that nobody gave
_SCHEMA = {"site": pl.String, "feature": pl.Int64, "label": pl.String, "source": pl.String}


def labels_of(run: Run, tokens: pl.DataFrame | None = None) -> pl.DataFrame:
    """What each feature means: the first label that it was given, else its top tokens.

    Args:
        run: the run.
        tokens: `top_tokens` of the same run, where they are known already.

    Returns:
        `site`, `feature`, `label`, `source` (`TOP_TOKENS` where nobody gave one), one row per
        feature; features of which nothing is known have none.

    Raises:
        RunError: a table of the run cannot be read.
    """
    given = given_labels(run)
    known = feature_labels(top_tokens(run) if tokens is None else tokens)
    others = known.join(given, on=["site", "feature"], how="anti", maintain_order="left")
    return pl.concat([given, others.with_columns(pl.lit(TOP_TOKENS).alias("source"))])


def given_labels(run: Run) -> pl.DataFrame:
    """`site`, `feature`, `label`, `source`: the label of each feature that was given one.

    Raises:
        RunError: a table of the run cannot be read.
    """
    parts = [
        _given(run, name).with_columns(pl.lit(name).alias("site")).select(*_SCHEMA)
        for name in run.tables("labels")
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=_SCHEMA)


class SingleLabels:
    """The labels of single features, without reading more of a run than they need."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._tables: dict[str, pl.DataFrame | None] = {}
        self._there = run.tables("labels")

    def of(self, site: str, feature: int, contexts: pl.DataFrame | None = None) -> Label | None:
        """The label of a feature; `contexts`: those of its SAE, for features given none.

        Raises:
            RunError: a table of the run cannot be read.
        """
        if site not in self._tables:
            self._tables[site] = _given(self._run, site) if site in self._there else None
        table = self._tables[site]
        if table is not None:
            for text, source in table.filter(feature=feature).select("label", "source").iter_rows():
                return Label(text, source)
        if contexts is None:
            return None
        tokens = feature_tokens(contexts.filter(feature=feature))
        found = feature_labels(tokens.with_columns(pl.lit(site).alias("site")))["label"]
        return Label(found[0], TOP_TOKENS) if len(found) else None


def _given(run: Run, site: str) -> pl.DataFrame:
    """The first label of each feature of an SAE: the one to show."""
    table = run.table("labels", site).select(
        pl.col("feature").cast(pl.Int64), pl.col("label", "source").cast(pl.String)
    )
    return table.unique("feature", keep="first", maintain_order=True)
