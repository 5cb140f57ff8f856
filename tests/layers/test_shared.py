"""Shared and orphan features, on a case that can be counted by hand."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import polars as pl
import pytest

from saematch import RunError, match
from saematch.files.records import plain
from saematch.layers.shared import Comparison
from saematch.runs.manifest import new_record
from saematch.runs.run import Run
from support.saes import make_sae

# features 0..3 of a, b, c; d has two, and its feature 1 is excluded
WIDTHS = {"a": 4, "b": 4, "c": 4, "d": 2}
SHARED = {
    ("a", "b"): [(0, 0), (1, 1), (2, 2)],
    ("a", "c"): [(0, 0), (1, 2)],
    ("b", "c"): [(0, 0), (1, 1)],
    ("a", "d"): [(0, 0)],
    ("b", "d"): [],
    ("c", "d"): [],
}


class Made(Run):
    """A run of pairs given as lists; what `Comparison.of` asks of a run."""

    def __init__(self, shared):
        super().__init__(Path("made"), new_record("compare", {}, []))
        self.shared = shared

    @property
    def names(self):
        return list(WIDTHS)

    @property
    def pairs(self):
        return list(self.shared)

    def features(self, name):
        reasons: list[str | None] = [None] * WIDTHS[name]
        if name == "d":
            reasons[1] = "dead"
        return pl.DataFrame({"excluded": pl.Series(reasons, dtype=pl.String)})

    def pair(self, a, b):
        found = dict(self.shared[a, b])
        rows = range(WIDTHS[a])
        # a target that is not accepted is no shared feature
        return pl.DataFrame(
            {
                "feature": list(rows),
                "target": [found.get(i, 3) for i in rows],
                "matched": [i in found for i in rows],
            }
        )


@pytest.fixture(scope="module")
def found():
    return Comparison.of(Made(SHARED))


def test_each_feature_counts_the_saes_it_is_shared_with(found):
    counts = {
        name: part["shared_with"].to_list()
        for (name,), part in found.features.partition_by(
            "sae", as_dict=True, maintain_order=True
        ).items()
    }
    assert counts == {"a": [3, 2, 1, 0], "b": [2, 2, 1, 0], "c": [2, 1, 1, 0], "d": [1]}


def test_clusters(found):
    # a0 b0 c0 d0: in four SAEs, but b0-d0 and c0-d0 are not shared
    # a1 b1 c1 c2: c has two of its features in it
    # a2 b2: complete
    assert found.clusters.rows() == [
        (0, 4, 4, False, False),
        (1, 3, 4, False, True),
        (2, 2, 2, True, False),
    ]
    members = found.features.filter(cluster=1).select("sae", "feature").rows()
    assert members == [("a", 1), ("b", 1), ("c", 1), ("c", 2)]
    assert found.features.filter(pl.col("cluster").is_null())["shared_with"].unique().to_list() == [
        0
    ]


def test_exactly_n_of_n(found):
    table = found.exactly()
    own = [f"features_{name}" for name in WIDTHS]
    assert table.columns == ["n", "clusters", "complete", "tangled", *own]
    assert table.rows() == [
        (1, 3, 3, 0, 1, 1, 1, 0),  # the orphans a3, b3, c3; d1 is excluded
        (2, 1, 1, 0, 1, 1, 2, 1),
        (3, 1, 0, 1, 1, 2, 1, 0),
        (4, 1, 0, 0, 1, 0, 0, 0),
    ]
    # every feature that takes part is in one row of its SAE's column
    assert table.select(own).sum().row(0) == (4, 4, 4, 1)


def test_saes_may_be_called_as_columns_are(tmp_path):
    names = ("n", "clusters", "complete", "tangled")
    saes = [make_sae(d_in=8, d_sae=4, seed=i, name=name) for i, name in enumerate(names)]
    saes = [replace(sae, conventions=replace(sae.conventions, site=None)) for sae in saes]
    run = Run.create(tmp_path, "compare", {}, saes)
    assert run.names == list(names)
    for i, j in combinations(range(4), 2):
        run.add_pair(names[i], names[j], match(saes[i], saes[j], "cosine"))
    found = Comparison.of(run)
    table = found.exactly()
    assert table["n"].to_list() == [1, 2, 3, 4]
    assert table["features_n"].sum() == found.taking_part["n"]
    run.add("compare", found.tables, found.summary())


def test_shares_are_of_the_features_that_take_part(found):
    assert found.taking_part == {"a": 4, "b": 4, "c": 4, "d": 1}
    assert found.share("a", "b") == found.share("b", "a") == 3 / 4
    assert found.share("a", "d") == 1 / 4
    assert found.share("d", "a") == 1
    assert found.share("b", "d") == 0
    assert found.summary()["shared"][0] == {"a": "a", "b": "b", "shared": 3}


def test_the_order_of_a_pair_does_not_matter(found):
    turned = {
        (b, a) if (a, b) == ("a", "c") else (a, b): [(j, i) for i, j in links]
        if (a, b) == ("a", "c")
        else links
        for (a, b), links in SHARED.items()
    }
    other = Comparison.of(Made(turned))
    assert other.features.equals(found.features)
    assert other.exactly().equals(found.exactly())


def test_what_cannot_be_compared():
    missing = {pair: links for pair, links in SHARED.items() if pair != ("b", "d")}
    with pytest.raises(RunError, match="no matching of b and d; a comparison needs every two"):
        Comparison.of(Made(missing))
    many = {**SHARED, ("a", "b"): [(0, 0), (1, 0)]}
    with pytest.raises(RunError, match="a--b is not one to one"):
        Comparison.of(Made(many))


def test_a_comparison_is_listed_in_the_run_until_a_pair_is_added(found, tmp_path):
    saes = [make_sae(d_in=8, d_sae=4, seed=i, layer=i) for i in range(2)]
    run = Run.create(tmp_path, "compare", {}, saes)
    run.add("compare", found.tables, found.summary())
    entry = plain(Run.open(tmp_path).record)["compare"]
    assert entry["exactly"][0]["clusters"] == 3
    for name, place in entry["tables"].items():
        assert pl.read_parquet(tmp_path / place).equals(found.tables[name])
    run.add_pair("resid_post_0", "resid_post_1", match(saes[0], saes[1], "cosine"))
    assert Run.open(tmp_path).section("compare") is None
    Run.create(tmp_path, "other", {}, saes, overwrite=True)
    assert not list((tmp_path / "compare").glob("*.parquet"))
