"""The page's table of tracks against the run's own tables, by hand."""

from collections import Counter, defaultdict

import polars as pl
import pytest

from saematch.explorer.nodes import RARE
from saematch.explorer.tracks import WORD
from support.explored import write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("tracks"))


@pytest.fixture(scope="module")
def read(world):
    return lambda name: pl.read_parquet(world.places.made / f"{name}.parquet")


@pytest.fixture(scope="module")
def tracks(world):
    """The nodes of each track by the run itself."""
    run = world.run
    start = {name: 48 * place for place, name in enumerate(run.names)}
    found = defaultdict(list)
    for row in run.table("flow", "tracks").filter(mode="gaps").iter_rows(named=True):
        found[row["track"]].append(start[row["site"]] + row["feature"])
    return list(found.values())


@pytest.fixture(scope="module")
def tokens(world):
    """How often each node's top contexts are of each token, in any case."""
    found = {}
    for place, name in enumerate(world.run.names):
        for row in world.run.contexts(name).iter_rows(named=True):
            words = [context["token"].strip().lower() for context in row["contexts"]]
            shares = {word: n / len(words) for word, n in Counter(words).items()}
            found[48 * place + row["feature"]] = shares
    return found


def test_each_track_is_a_row(world, read, tracks):
    table, nodes = read("tracks"), read("nodes")
    life = pl.read_parquet(sorted((world.places.made / "life").glob("*.parquet")))
    assert sum(len(track) for track in tracks) == len(nodes) == table["length"].sum()
    assert len(table) == len(tracks)
    splits = set(life.filter(pl.col("split") > 1).select("site", "feature").rows())
    merges = set(life.filter(pl.col("merge") > 1).select("site", "feature").rows())
    assert splits or merges
    for track in tracks:
        (row,) = set(nodes["track"].gather(track))
        its = table.row(row, named=True)
        assert its["length"] == len(track)
        assert its["life"] == min(nodes["life"].gather(track))
        assert its["node"] in track
        assert its["label"] == read("labels")["label"][its["node"]]
        assert its["frequency"] == max(nodes["frequency"].gather(track))
        signs = ["."] * 4
        for node in track:
            at = divmod(node, 48)
            split, merge = at in splits, at in merges
            signs[at[0]] = "b" if split and merge else "s" if split else "m" if merge else "o"
        assert its["line"] == "".join(signs).rstrip(".")


def test_clarity_is_the_share_on_one_token(read, tracks, tokens):
    table, nodes = read("tracks"), read("nodes")
    for track in tracks:
        its = table.row(nodes["track"][track[0]], named=True)
        shares = Counter()
        for node in track:
            shares.update({word: share / len(track) for word, share in tokens[node].items()})
        word, most = shares.most_common(1)[0]
        assert its["clarity"] == pytest.approx(most, rel=1e-5)
        best = max(tokens[node].get(word, 0) for node in track)
        ties = {word for word, share in shares.items() if share == pytest.approx(most)}
        assert any(
            tokens[its["node"]].get(word, 0) == max(tokens[node].get(word, 0) for node in track)
            for word in ties
        ), (word, best)


def test_the_rare_and_clear_come_first_each_token_once(read):
    table = read("tracks").drop_nulls("clarity")
    rare = (table["frequency"] < RARE).to_list()
    assert rare == sorted(rare, reverse=True)
    worth = (table["clarity"] * table["length"] / (table["length"] + 1)).to_list()
    word = table["label"].str.contains(WORD).to_list()
    first = next(i for i, its in enumerate(word) if not its)
    # among whole words, and each for the first time, the better ones are the first
    assert worth[:first] == sorted(worth[:first], reverse=True)
    assert table["label"][:first].n_unique() == first


def test_lists_and_postings_have_the_figures_of_the_nodes(read):
    nodes, labels, postings = read("nodes"), read("labels"), read("postings")
    for name in ("frequency", "lifespan", "score", "p_value", "track"):
        assert labels[name].to_list() == nodes[name].to_list()
    assert postings["track"].to_list() == nodes["track"].gather(postings["node"]).to_list()


def test_the_context_of_a_feature_is_its_first(world, read):
    labels = read("labels")
    for place, name in enumerate(world.run.names):
        for row in world.run.contexts(name).iter_rows(named=True):
            best = row["contexts"][0]
            its = labels.row(48 * place + row["feature"], named=True)
            assert its["token"] == best["token"][:32]
            assert its["before"] == best["before"][-32:]
            assert its["after"] == best["after"][:32]
