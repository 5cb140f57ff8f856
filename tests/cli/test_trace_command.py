"""`saematch trace`: legible at any width, whatever the texts hold."""

import json
import re
from itertools import pairwise

import polars as pl
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

import saematch
from saematch.cli import app
from saematch.layers import trace
from saematch.layers.communities import graph_tables
from saematch.runs.run import Run
from saematch.sae import contexts
from support.stand_in import write_shipped

HOSTILE = contexts.Context("[bold]a\x1b[2J", "</b>[/]\x07", "\u202ee\r\nf" * 30, 1.0, "s")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = write_shipped(tmp_path_factory.mktemp("data"), d_in=32) / "saes"
    saes = [saematch.load(folder / f"resid_post_{layer}") for layer in range(1, 5)]
    made = Run.create(tmp_path_factory.mktemp("run"), "flow", {}, saes)
    for (i, a), (j, b) in pairwise(enumerate(made.names)):
        made.add_pair(a, b, saematch.match(saes[i], saes[j], "cosine"))
    made.add("flow", graph_tables(made), {})
    return made


@pytest.fixture(scope="module")
def longest(run):
    """The feature of the first layer that goes farthest."""
    return max(range(48), key=lambda i: len(trace(run, "resid_post_1", i).forward))


def shown(run, *arguments, width=100):
    done = CliRunner().invoke(
        app, ["trace", str(run.path), *map(str, arguments)], env={"COLUMNS": str(width)}
    )
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_way_in_order_of_layers(run, longest, width):
    found = trace(run, "resid_post_1", longest)
    assert found.forward
    text = shown(run, "1", longest, width=width)
    lines = text.splitlines()
    assert all(cell_len(line) <= width for line in lines)
    heads = [f"resid_post_1 #{longest}"]
    heads += [f"{s.link.site} #{s.link.feature}" for s in found.forward]
    places = [next(i for i, line in enumerate(lines) if head in line) for head in heads]
    assert places == sorted(places)
    assert lines[places[0]].startswith("▶ ")
    for step, place in zip(found.forward, places[1:], strict=True):
        assert f"▼ match  cosine {step.link.cosine:.2f}" in lines[place - 1]
    number, label = found.community or (None, None)
    assert f"community {number}: {label}" in text


def test_the_end_of_the_way_shows_both_directions_alike(run, longest):
    last = trace(run, "resid_post_1", longest).forward[-1].link
    text = shown(run, last.site, last.feature)
    assert text.index(f"resid_post_1 #{longest}") < text.index("▶ ")


def test_the_confidence_is_cut_and_the_least_sure_link_named(run, longest):
    found = trace(run, "resid_post_1", longest)
    text = " ".join(shown(run, "1", longest).split())
    said = re.search(r"confidence of the whole way: (?:over )?([\d.]+)%", text)
    assert found.confidence is not None
    assert said is not None
    assert 0 <= found.confidence - float(said[1]) / 100 < 1e-3
    links = [step.link for step in found.forward]
    worst = max(links, key=lambda link: link.local_fdr or 0)
    if len(links) > 1 and (worst.local_fdr or 0) >= 1e-4:
        assert f"least sure: the link to {worst.site} #{worst.feature}" in text


def test_hostile_texts_are_shown_as_text(run, longest, monkeypatch):
    monkeypatch.setattr("saematch.layers.tracing.top_contexts", lambda *_: [HOSTILE])
    text = shown(run, "resid_post_1", longest, width=80)
    assert "[bold]a" in text
    assert "</b>[/]" in text
    assert not {"\x1b", "\x07", "\u202e", "\r"} & {*text}
    assert all(cell_len(line) <= 80 for line in text.splitlines())


@pytest.fixture(scope="module")
def flowing(tmp_path_factory):
    """A run of `saematch flow`, with tracks."""
    folder = write_shipped(tmp_path_factory.mktemp("data"), d_in=32) / "saes"
    names = [str(folder / f"resid_post_{layer}") for layer in range(1, 5)]
    out = tmp_path_factory.mktemp("runs") / "flow"
    # by score some features have no match in the next layer, and one two layers on
    asked = ["--reach", "2", "--test", "score"]
    done = CliRunner().invoke(app, ["flow", *names, *asked, "-q", "-o", str(out)])
    assert done.exit_code == 0, done.output
    return Run.open(out)


def test_the_tracks_of_a_feature_are_named_with_their_ends(flowing):
    spans = flowing.table("flow", "spans").filter(pl.col("length") > 1, pl.col("mode") == "gaps")
    row = spans.row(0, named=True)
    text = shown(flowing, row["start"], row["start_feature"])
    ends = f"{row['start']} #{row['start_feature']}  → {row['end']} #{row['end_feature']}"
    assert f"gaps {row['track']}: {ends}  {row['length']} features" in text


def test_a_link_over_a_layer_is_no_link_of_a_track_unless_tracks_say_so(flowing):
    tracks = flowing.table("flow", "tracks")
    seen = set()
    for feature in range(48):
        steps = trace(flowing, "resid_post_1", feature).forward
        here = "resid_post_1", feature
        for step in steps:
            there = step.link.site, step.link.feature
            if step.skipped:
                gaps = tracks.filter(pl.col("mode") == "gaps").sort("track", "position")
                rows = list(zip(gaps["track"], gaps["site"], gaps["feature"], strict=True))
                links = {(a[1:], b[1:]) for a, b in pairwise(rows) if a[0] == b[0]}
                assert step.tracks == (("gaps",) if (here, there) in links else ())
                seen.add(feature)
            else:
                assert step.tracks is None
            here = there
    assert seen
    text = " ".join(shown(flowing, "resid_post_1", min(seen)).split())
    assert "direct match of two layers cosine" in text
    assert "which has no match part of tracks: " in text


def test_alternatives_are_wrapped_and_never_cut(run, longest):
    step = trace(run, "resid_post_1", longest, alternatives=4).forward[0]
    text = shown(run, "1", longest, "--alternatives", 4, width=60)
    assert len(step.alternatives) == 4
    assert all(f"#{link.feature} (" in text for link in step.alternatives)
    assert "…" not in "".join(line for line in text.splitlines() if "score" in line)
    assert all(cell_len(line) <= 60 for line in text.splitlines())


@pytest.mark.parametrize("value", ["-0.1", "1.5"])
def test_a_p_value_lies_between_0_and_1(run, value):
    done = CliRunner().invoke(
        app, ["trace", str(run.path), "1_2", "-e", "x.json", "--max-p", value]
    )
    assert done.exit_code != 0
    assert "--max-p" in done.output + str(done.exception)


def test_exports(run, longest, tmp_path):
    place = tmp_path / "around.json"
    text = shown(run, f"1_{longest}", "--export", place, "--depth", 1)
    assert f"Written to {place}" in text
    made = json.loads(place.read_text())
    assert {"1", "2"} == {node["layer"] for node in made["nodes"]}
    assert made["metadata"]["prompt"] == f"resid_post_1 #{longest}"
    shown(run, f"1_{longest}", "--export", place, "--node-link", "--max-p", "1e-9")
    assert {edge["p_value"] <= 1e-9 for edge in json.loads(place.read_text())["edges"]} == {True}
    links = len(json.loads(place.read_text())["edges"])
    assert links > 0
    assert f"{links:,} edges of matches and candidates around resid_post_1 #{longest}" in shown(
        run, f"1_{longest}", "--export", place, "--node-link", "--max-p", "1e-9"
    )
    shown(run, f"1_{longest}", "--export", tmp_path / "around.graphml")
    assert "<graphml" in (tmp_path / "around.graphml").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resid_post_9", "1"], "the run has no SAE 'resid_post_9'; it has resid_post_1"),
        (["post_3", "1"], "no SAE 'post_3'; did you mean resid_post_3? It has resid_post_1"),
        (["1_2", "--node-link"], "--node-link is about an export: give --export"),
        (["1_2", "--transport", "4"], "--transport is about an export: give --export"),
        (["1_2", "-e", "x.json", "--transport", "4"], "no sparse transports: saematch evaluate"),
        (["1_2", "--depth", "2"], "--depth is about an export: give --export"),
        (["1_2", "--max-p", "0"], "--max-p is about an export: give --export"),
        (["1_2", "--node-link", "-e", "x.graphml"], "x.graphml: node-link graphs are JSON"),
        (["1_2", "--node-link", "-e", "x.parquet"], "x.parquet: node-link graphs are JSON"),
        (["resid_post_1", "48"], "resid_post_1 has no feature 48; it has 0 to 47"),
        (["1_2", "--export", "x.txt"], r"x.txt: the name must end in .json, .graphml, .parquet"),
    ],
)
def test_errors_name_what_would_be_right(run, arguments, words):
    done = CliRunner().invoke(app, ["trace", str(run.path), *arguments])
    assert done.exit_code == 1
    assert words in str(done.exception)
