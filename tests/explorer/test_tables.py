"""The tables made for the page say what the run's own tables say."""

import json
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
from msgspec.structs import replace

import saematch.explorer.nodes
from saematch.errors import RunError
from saematch.explorer import tables
from saematch.explorer.coactivation import tokens_in_common
from saematch.explorer.nodes import Nodes
from saematch.explorer.overview import beyond, examples
from saematch.explorer.tables import PIECE, ROWS, digest_of, prepare
from saematch.explorer.tracks import tracks
from saematch.layers.graph import KINDS, FlowGraph
from saematch.runs.folder import GROUPS
from saematch.runs.manifest import new_record
from saematch.runs.run import Run
from support.explored import write_run, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def run(world):
    return world.run


@pytest.fixture(scope="module")
def index(world):
    return json.loads((world.places.made / "index.json").read_text())


@pytest.fixture(scope="module")
def read(world):
    return lambda name: pl.read_parquet(world.places.made / f"{name}.parquet")


@pytest.fixture(scope="module")
def node(index):
    start = {site["name"]: site["start"] for site in index["sites"]}
    return lambda site, feature: start[site] + feature


@pytest.fixture(scope="module")
def life(world):
    return pl.read_parquet(sorted((world.places.made / "life").glob("*.parquet")))


def test_index(index, run):
    assert index["format"] == "saematch explorer"
    assert index["run"] == digest_of(run)
    assert [site["name"] for site in index["sites"]] == run.names
    assert [site["start"] for site in index["sites"]] == [0, 48, 96, 144]
    assert [site["next"] for site in index["sites"]] == [*run.names[1:], None]
    assert index["chain"] == run.names
    assert (index["modes"], index["mode"]) == (["chained", "flow", "gaps"], "gaps")
    assert index["nodes"] == 192
    assert index["life"] == {"rows": PIECE, "files": 1}
    assert index["kinds"] == list(KINDS)
    assert all((place).startswith("explorer/") for place in index["tables"].values())


def test_pairs_are_counted(run, read):
    counted = read("pairs")
    assert counted.select("a", "b").rows() == run.pairs
    groups = run.table("flow", "splits")
    assert groups.height > 0
    for row in counted.iter_rows(named=True):
        a, b = row["a"], row["b"]
        pair = run.pair(a, b)
        assert row["adjacent"] == (run.names.index(b) == run.names.index(a) + 1)
        assert row["used_a"] == pair["excluded"].is_null().sum()
        assert row["assigned"] == pair["target"].is_not_null().sum()
        assert row["matched"] == pair["matched"].sum()
        assert row["matched"] + row["unmatched_a"] == row["used_a"]
        assert row["reached"] == len(set(pair.filter("matched")["target"]))
        assert row["reached"] + row["unmatched_b"] == row["used_b"]
        for kind, name in (("split", "splits"), ("merge", "merges")):
            of = groups.filter(kind=kind, a=a, b=b)
            assert row[name] == len(set(of["feature"]))
            assert row[f"{kind}_parts"] == len(of)


def test_communities_are_clean_as_far_as_their_contexts_agree(run, read):
    found = read("communities")
    table = run.table("flow", "communities").filter(pl.col("tokens").is_not_null())
    assert found["community"].to_list() == table["community"].to_list()
    contexts = {
        (name, row["feature"]): [each["token"].strip().lower() for each in row["contexts"]]
        for name in run.names
        for row in run.contexts(name).iter_rows(named=True)
    }
    checked = 0
    for row, of in zip(found.to_dicts(), table.to_dicts(), strict=True):
        tokens = {token.strip(" ␣").lower() for token in of["tokens"]}
        if tokens & {"", "↵", "⇥"}:
            continue  # what is not a word has signs of its own
        checked += 1
        shares = []
        for member in of["members"]:
            fired = contexts[member["site"], member["feature"]]
            shares.append(sum(token in tokens for token in fired) / len(fired))
        assert row["agreement"] == pytest.approx(sum(shares) / of["size"], abs=1e-6)
        span = of["sites"] / len(run.names)
        assert row["clean"] == pytest.approx(row["agreement"] * row["words"] * span, abs=1e-6)
        assert 0 <= row["words"] <= 1
    assert checked > 10


@pytest.mark.parametrize("spread", [0.12, 0.5])
def test_the_distance_from_chance_is_in_spreads_of_chance(spread):
    edges = np.linspace(-6, 12, 101)  # 0.18 from one to the next
    normal = NormalDist(1.5, spread)
    chance = [normal.cdf(high) - normal.cdf(low) for low, high in pairwise(edges)]
    histogram = pl.DataFrame({"low": edges[:-1], "high": edges[1:], "null": chance})
    wanted = pytest.approx((4.0 - 1.5) / spread, rel=0.08)
    assert beyond(histogram, 4.0) == wanted
    # the same in another unit
    scaled = histogram.with_columns(pl.col("low", "high") * 7 - 3)
    assert beyond(scaled, 4.0 * 7 - 3) == wanted
    assert beyond(histogram, None) is None
    assert beyond(histogram.clear(), 4.0) is None
    # all of chance within one bin: its spread is not known
    one = histogram.with_columns(null=pl.Series([0.0] * 50 + [9.0] + [0.0] * 49))
    assert beyond(one, 4.0) is None


def test_pairs_are_beyond_chance_by_their_histograms(run, read):
    for row in read("pairs").iter_rows(named=True):
        histogram = run.null(row["a"], row["b"])
        drawn = np.repeat(
            (histogram["low"] + histogram["high"]).to_numpy() / 2,
            np.round(1000 * histogram["null"].to_numpy()).astype(int),
        )
        low, middle, high = np.quantile(drawn, [0.1587, 0.5, 0.8413])
        width = histogram["high"][0] - histogram["low"][0]
        median = run.summaries[row["a"], row["b"]]["median_statistic"]
        wanted = (median - middle) / ((high - low) / 2)
        assert row["beyond"] == pytest.approx(wanted, rel=3 * width / (high - low))


def test_examples_live_throughout_are_born_and_die():
    rows = [
        ("a", "o", 1),  # alone
        ("b, x", ".oo", 2),
        ("B", "ooooo", 5),
        ("c", "o.o", 2),
        (None, "ooooo", 5),
        (None, "....o", 1),
        ("d", "..ooo", 3),
    ]
    tracks = pl.DataFrame(rows, schema=["label", "line", "length"], orient="row")
    # the one that is born is not of the token of the first: `b, x` is like `B`
    assert examples(tracks, 5) == [2, 6, 3]
    # without one of a kind, the next best; never a feature that is alone
    assert examples(tracks.filter(pl.col("label").is_in(["a", "c", "d"])), 5) == [2, 1]
    assert examples(tracks.clear(), 5) == []


@pytest.mark.parametrize("mode", ["chained", "flow", "gaps"])
def test_links_are_those_of_the_tracks(run, read, mode):
    steps = set()
    for _, track in run.table("flow", "tracks").filter(mode=mode).group_by("track"):
        features = list(track.sort("position").select("site", "feature").iter_rows())
        steps |= {(a, b) for a, b in pairwise(features)}
    found = read("links").filter(mode=mode)
    assert found["leaving"].sum() == len({a for a, _ in steps})
    for row in found.iter_rows(named=True):
        between = [(a, b) for a, b in steps if (a[0], b[0]) == (row["a"], row["b"])]
        assert row["leaving"] == len({a for a, _ in between})
        assert row["arriving"] == len({b for _, b in between})
    turnover = run.table("flow", "turnover").filter(mode=mode)
    for site, features, births, deaths in turnover.select(
        "site", "features", "births", "deaths"
    ).iter_rows():
        if deaths is not None:
            assert found.filter(a=site)["leaving"].sum() + deaths == features
        if births is not None and mode != "flow":
            assert found.filter(b=site)["arriving"].sum() + births == features


def test_a_node_is_a_row(run, read, node):
    nodes = read("nodes")
    assert len(nodes) == 192
    members = run.table("flow", "communities").select("community", "members").explode("members")
    community = {
        (m["site"], m["feature"]): number for number, m in members.iter_rows() if m is not None
    }
    lifespan = {}
    for _, track in run.table("flow", "tracks").filter(mode="gaps").group_by("track"):
        layers = [run.names.index(site) for site in track["site"]]
        for row in track.to_dicts():
            lifespan[row["site"], row["feature"]] = max(layers) - min(layers) + 1
    assert community
    assert max(lifespan.values()) == 4
    for place, name in enumerate(run.names):
        later = run.names[place + 1] if place < 3 else None
        pair = None if later is None else run.pair(name, later)
        contexts = run.contexts(name)
        for feature in range(48):
            row = nodes.row(node(name, feature), named=True)
            assert row["frequency"] == run.features(name)["frequency"][feature]
            assert contexts["feature"][row["context"]] == feature
            assert row["community"] == community.get((name, feature))
            assert row["lifespan"] == lifespan.get((name, feature))
            expected = (None,) * 4
            if pair is not None and pair["target"][feature] is not None:
                columns = ("score", "p_value", "decoder_cosine", "matched")
                expected = tuple(pair[column][feature] for column in columns)
            assert tuple(row[k] for k in ("score", "p_value", "cosine", "matched")) == expected


def test_a_life_is_one_range_of_rows(run, read, life, node, index):
    nodes, tracks = read("nodes"), run.table("flow", "tracks").filter(mode="gaps")
    labels = read("labels")["label"]
    assert labels.drop_nulls().n_unique() > 10
    names = [site["name"] for site in index["sites"]]
    seen = 0
    for _, track in tracks.group_by("track", maintain_order=True):
        start = node(track["site"][0], track["feature"][0])
        row = nodes["life"][start]
        part = life[row : row + life["length"][row]]
        assert [names[code] for code in part["site"]] == track["site"].to_list()
        for column in ("feature", "track", "score", "p_value"):
            assert part[column].to_list() == track[column].to_list()
        assert part["first"].to_list() == [row] * len(part)
        assert part["length"].to_list() == [len(track)] * len(part)
        seen += len(part)
    assert seen > 0
    rows = nodes["life"].to_list()
    assert sorted(rows) == list(range(192))
    for number, row in enumerate(rows):
        assert node(names[life["site"][row]], life["feature"][row]) == number
        assert life["label"][row] == labels[number]
        for column in ("origin", "community", "context"):
            assert life[column][row] == nodes[column][number]


def test_the_link_of_a_life_has_the_measures_of_its_pair(run, life, index):
    names = [site["name"] for site in index["sites"]]
    checked = 0
    for before, row in zip(life.to_dicts(), life.to_dicts()[1:], strict=False):
        if row["first"] != before["first"]:
            assert row["decoder_cosine"] is None
            continue
        pair = run.pair(names[before["site"]], names[row["site"]])
        of = pair.row(before["feature"], named=True)
        if of["target"] == row["feature"]:
            for column in ("decoder_cosine", "encoder_mse", "decoder_mse_folded"):
                assert row[column] == of[column]
            assert row["score"] == of["score"]
            checked += 1
    assert checked > 20


def test_every_edge_leaves_one_feature_and_arrives_at_another(run, life, node, index):
    names = [site["name"] for site in index["sites"]]
    numbers = [node(names[s], f) for s, f in life.select("site", "feature").iter_rows()]
    edges = {}
    for e in FlowGraph.of(run).edges().iter_rows(named=True):
        near = run.names.index(e["target_site"]) == run.names.index(e["source_site"]) + 1
        if near or e["kind"] in ("match", "target"):
            ends = node(e["source_site"], e["source"]), node(e["target_site"], e["target"])
            edges[ends] = e
    assert len(edges) > 1000
    for name in ("out", "in"):
        found = set()
        for number, links in zip(numbers, life[name].to_list(), strict=True):
            kinds = [link["kind"] for link in links]
            assert kinds == sorted(kinds)
            for link in links:
                ends = (number, link["other"]) if name == "out" else (link["other"], number)
                edge = edges[ends]
                assert KINDS[link["kind"]] == edge["kind"]
                for column in ("rank", "source_rank", "p_value", "source_p_value"):
                    assert link[column] == edge[column]
                for column in ("score", "cosine"):
                    if edge[column] is None:
                        assert link[column] is None
                    else:
                        assert link[column] == pytest.approx(edge[column], rel=1e-6)
                found.add(ends)
        assert found == set(edges)


def test_tracks_of_every_mode_are_found_by_row(run, life, index):
    names = [site["name"] for site in index["sites"]]
    tracks = run.table("flow", "tracks")
    for row in life.iter_rows(named=True):
        me = names[row["site"]], row["feature"]
        for mode in ("chained", "flow", "gaps"):
            first, length = row[f"{mode}_row"], row[f"{mode}_length"]
            if first is None:
                assert not len(tracks.filter(mode=mode, site=me[0], feature=me[1]))
                continue
            part = tracks[first : first + length]
            assert set(part["mode"]) == {mode}
            assert part["position"].to_list() == list(range(length))
            assert me in zip(part["site"], part["feature"], strict=True)
            mine = tracks.filter(mode=mode, site=me[0], feature=me[1])["track"]
            longest = tracks.filter(pl.col("track").is_in(mine.implode()), mode=mode)
            assert length == longest.group_by("track").len()["len"].max()


def test_splits_and_merges_of_a_feature(run, life, index):
    names = [site["name"] for site in index["sites"]]
    groups = run.table("flow", "splits")
    for row in life.iter_rows(named=True):
        for kind, side in (("split", "a"), ("merge", "b")):
            mine = pl.col(side) == names[row["site"]]
            of = groups.filter(mine, kind=kind, feature=row["feature"])
            assert row[kind] == (of["parts"].max() if len(of) else None)


def test_words_lead_to_their_features(run, read, node):
    vocabulary, postings = read("vocabulary"), read("postings")
    assert vocabulary["token"].to_list() == sorted(vocabulary["token"].to_list())
    expected: dict[str, set[int]] = {}
    for name in run.names:
        for row in run.contexts(name).iter_rows(named=True):
            for context in row["contexts"]:
                token = context["token"].strip().lower()
                expected.setdefault(token, set()).add(node(name, row["feature"]))
    for token in ("river", "darcy", "🙂", "日本", "("):
        row = vocabulary.row(by_predicate=pl.col("token") == token, named=True)
        part = postings[row["first"] : row["first"] + row["features"]]
        assert set(part["node"]) == expected[token]
        assert part["weight"].is_sorted(descending=True)
    assert vocabulary["features"].sum() == len(postings)


def test_correlations(run, read, life, node):
    a, b = run.names[:2]
    # targets: i to i, sources: i to i + 1, by the table of relations made in `explored`
    known = {(i, i): 0.5 + i / 100 for i in range(40)}
    known |= {(i + 1, i): 0.5 + i / 100 for i in range(40)}
    of_pair = read(f"firing/{a}--{b}")["pearson"].to_list()
    targets = run.pair(a, b)["target"].to_list()
    expected = [known.get((i, j)) for i, j in enumerate(targets)]
    assert [x is None for x in of_pair] == [x is None for x in expected]
    assert [x for x in of_pair if x] == pytest.approx([x for x in expected if x])
    found = {}
    for site, feature, links in life.select("site", "feature", "out").iter_rows():
        for link in links:
            if link["pearson"] is not None:
                assert site == 0
                found[feature, link["other"] - node(b, 0)] = link["pearson"]
    assert found
    for ends, value in found.items():
        assert value == pytest.approx(known[ends])


def test_tokens_in_common(run, read):
    def tokens(name):
        found = {}
        for row in run.contexts(name).iter_rows(named=True):
            texts = [context["token"].strip().lower() for context in row["contexts"]]
            found[row["feature"]] = [text for text in texts if text]
        return found

    a, b = run.names[:2]
    of_a, of_b = tokens(a), tokens(b)
    values = read(f"firing/{a}--{b}")["common"].to_list()
    checked = 0
    for feature, target in run.pair(a, b).select("feature", "target").iter_rows():
        its, other = of_a.get(feature, []), of_b.get(target, [])
        if target is None:
            assert values[feature] is None
        elif its and other and len(its) == len(run.contexts(a)["contexts"][feature]):
            shared = sum(
                min(its.count(text) / len(its), other.count(text) / len(other)) for text in set(its)
            )
            assert values[feature] == pytest.approx(shared)
            checked += shared > 0
    assert checked > 3


def test_nothing_is_in_common_where_a_feature_has_no_contexts():
    pair = pl.DataFrame({"feature": [0, 1, 2, 3], "target": [5, 6, 7, None]})
    of_a = pl.DataFrame(
        {"feature": [0, 0, 1, 3], "token": ["a", "b", "a", "a"], "weight": [0.75, 0.25, 1.0, 1.0]}
    )
    of_b = pl.DataFrame({"feature": [5, 5, 6, 7], "token": ["b", "a", "c", "a"]})
    of_b = of_b.with_columns(pl.Series("weight", [0.5, 0.5, 1.0, 1.0]))
    assert tokens_in_common(pair, of_a, of_b).to_list() == [0.75, 0.0, None, None]


def test_a_clear_feature_is_rare_and_of_one_token(run, life, node, monkeypatch):
    often = run.features(run.names[0])["frequency"].median()
    monkeypatch.setattr(saematch.explorer.nodes, "RARE", often)
    nodes = Nodes.of(run)
    clear = nodes.table(life, tracks(nodes, life)[1])["clear"]
    for name in run.names[:2]:
        for row in run.contexts(name).iter_rows(named=True):
            texts = [context["token"].strip().lower() for context in row["contexts"]]
            most = max(texts.count(text) for text in texts)
            rare = run.features(name)["frequency"][row["feature"]] <= often
            if "" not in texts:
                wanted = rare and 2 * most >= len(texts)
                assert clear[node(name, row["feature"])] == wanted
    assert 0 < clear.sum() < len(clear)


def test_relations_are_found_by_row(run, read):
    for row in read("relations").iter_rows(named=True):
        table = run.table("relations", row["table"])
        part = table[row["first"] : row["first"] + row["rows"]]
        for column in ("a", "b", "statistic"):
            assert set(part[column]) == {row[column]}
        assert row["rows"] == 40


def test_tables_are_kept_and_made_anew_when_the_run_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = write_run(tmp_path)
    before = sorted(p for p in run.path.rglob("*"))
    first = prepare(run)
    assert first.folder.is_relative_to(tmp_path / "cache")
    assert sorted(p for p in run.path.rglob("*")) == before  # the run is only read
    made = (first.folder / "index.json").read_text()
    calls = []
    original = tables.make
    monkeypatch.setattr(tables, "make", lambda *given: (calls.append(1), original(*given)))
    assert prepare(Run.open(run.path)).folder == first.folder
    assert not calls
    (first.folder / "nodes.parquet").unlink()
    assert (prepare(run).folder / "nodes.parquet").is_file()
    assert len(calls) == 1
    run.record = replace(run.record, finished=None)
    run._save()
    second = prepare(run)
    assert second.folder != first.folder
    assert json.loads((second.folder / "index.json").read_text())["run"] != json.loads(made)["run"]
    assert not list(second.folder.parent.glob(".*"))


def test_each_step_is_told_once_and_the_last_one_ends_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = write_run(tmp_path)
    told: list[tuple[str, int, int]] = []
    prepare(run, lambda *step: told.append(step))
    done = [step[1] for step in told]
    assert done == sorted(set(done))
    assert (done[0], done[-1]) == (0, told[-1][2])
    for a, b in run.pairs:
        assert f"firing of {a} and {b}" in [what for what, _, _ in told]
    assert len({total for _, _, total in told}) == 1
    told.clear()
    prepare(run, lambda *step: told.append(step))
    assert told == []  # nothing is made a second time


def test_tables_where_nothing_can_be_kept(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = prepare(write_run(tmp_path))
    assert (made.folder / "index.json").is_file()
    made.close()
    assert not made.folder.exists()


def test_a_run_of_two_saes_without_flow_or_contexts(tmp_path):
    from support.saes import make_sae, permuted

    order = shuffled(96)
    a = make_sae(layer=1)
    saes = [a, permuted(make_sae(layer=1), order, noise=0.1)]
    run = Run.create(tmp_path / "run", "match", {}, saes)
    run.add_pair(run.names[0], run.names[1], saematch.match(saes[0], saes[1], "cosine"))
    made = tmp_path / "made"
    made.mkdir()
    tables.make(run, made, digest_of(run))
    index = json.loads((made / "index.json").read_text())
    assert (index["mode"], index["modes"], index["communities"]) == (None, [], 0)
    assert "relations" not in index["tables"]
    life = pl.read_parquet(made / "life/00000.parquet")
    assert life["first"].to_list() == list(range(192))
    assert set(life["length"]) == {1}
    best = [links[0]["other"] - 96 for links in life["out"][:96].to_list()]
    assert best == order.tolist()
    assert pl.read_parquet(made / "vocabulary.parquet").height == 0


def shuffled(n: int):
    import torch

    return torch.randperm(n, generator=torch.Generator().manual_seed(3))


def test_a_table_that_is_gone_is_named(tmp_path):
    run = write_run(tmp_path)
    (run.path / f"features/{run.names[1]}.parquet").unlink()
    (tmp_path / "made").mkdir()
    with pytest.raises(RunError, match=f"features/{run.names[1]}.parquet"):
        tables.make(run, tmp_path / "made", digest_of(run))


def test_large_tables_come_in_small_groups(tmp_path, monkeypatch):
    """One row can be read without the rest: the groups of a file are as GROUPS says."""
    run = Run(tmp_path, new_record("match", {}, []))
    frame = pl.DataFrame({"feature": range(20_000)})
    parquet = pytest.importorskip("pyarrow.parquet")
    for place in ("contexts/a.parquet", "flow/edges.parquet", "flow/tracks.parquet", "nulls/a"):
        run.write(place, frame)
        wanted = GROUPS.get(place) or GROUPS.get(place.split("/")[0], 8192)
        file = parquet.ParquetFile(tmp_path / place)
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        assert max(sizes) <= wanted
        assert sum(sizes) == 20_000
        statistics = file.metadata.row_group(1).column(0).statistics
        assert statistics.min == sizes[0]


def test_a_life_is_read_with_the_end_of_its_file_and_one_group(tmp_path, life):
    """What a click waits for: the list of a file's groups fits what the page reads first."""
    parquet = pytest.importorskip("pyarrow.parquet")
    piece = pl.concat([life] * (PIECE // len(life) + 1))[:PIECE]
    piece.write_parquet(tmp_path / "life", row_group_size=ROWS["life"], statistics=False)
    file = parquet.ParquetFile(tmp_path / "life").metadata
    assert file.num_row_groups == PIECE // ROWS["life"] > 1
    assert file.serialized_size < 2**16
