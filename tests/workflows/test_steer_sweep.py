"""`saematch.steer_sweep` and `saematch steer`: written, added to, drawn, printed, refused."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import saematch
from saematch import Run, RunError, SaematchError
from saematch.asking import Answer, Forecast
from saematch.cli import app
from saematch.plots import figures
from saematch.steering.sweep import best_of, means, with_damage
from support.steered_world import saes, write_run

SMALL = {"tokens": 6, "samples": 1, "prompts": ["The river", "In the beginning"]}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    given = saes()
    return given, write_run(tmp_path_factory.mktemp("world") / "run", given)


@pytest.fixture(scope="module")
def model():
    return saematch.models.open_model("saematch:model")


@pytest.fixture(scope="module")
def feature(world):
    """A feature in the middle of a whole track."""
    tracks = world[1].table("flow", "tracks").filter(mode="chained")
    whole = tracks.join(tracks.group_by("track").len().filter(len=3), on="track", how="semi")
    return f"2_{whole.filter(position=1)['feature'][0]}"


@pytest.fixture
def run(world, tmp_path):
    shutil.copytree(world[1].path, tmp_path / "run")
    return Run.open(tmp_path / "run")


@pytest.fixture
def sweep(world, model, run, feature):
    def made(*strengths, **options):
        given = {**SMALL, **options}
        return saematch.steer_sweep(
            model, run, given.pop("features", feature), strengths, saes=world[0], **given
        )

    return made


class Rater:
    """A language model that rates the concept by the length of a text, and fluency always 1."""

    model = "rater"

    def __init__(self):
        self.asked = []

    def forecast(self, questions):
        return Forecast(len(questions), 0, 10 * len(questions), len(questions))

    def ask(self, questions, progress=None):
        self.asked += questions
        return [self._answer(json.loads(q.prompt.rpartition("\n")[0])) for q in questions]

    def _answer(self, shown):
        sure = (0.0, 0.0, 1.0) if "concept" in shown else (0.0, 1.0, 0.0)
        return Answer(sure, "", None, 9, 1, cached=False)


def test_a_sweep_is_in_the_run_with_every_way(sweep, run):
    done = sweep(0.5, 2.0)
    assert done.path == run.path
    again = Run.open(run.path)
    table = again.table("steering", "means")
    cells = table.select("way", "strength").rows()
    ways = ("layer", "output-score", "track", "flow")
    assert cells == [("plain", 0.0), *((way, s) for way in ways for s in (0.5, 2.0))]
    texts = again.table("steering", "texts")
    assert len(texts) == 2 * len(cells)
    assert means(texts).equals(table)
    assert texts.filter(way="plain")["text"].to_list() != texts.filter(way="flow")["text"].to_list()
    described = again.table("steering", "features")
    assert len(described.filter(way="track")) == len(described.filter(way="theme")) == 3
    scores = described.filter(way="output-score")
    chosen = scores.filter(pl.col("amount").is_not_null())
    assert chosen["output_score"].to_list() == [scores["output_score"].max()]
    section = again.section("steering")
    assert section is not None
    assert section.sweeps[0].options["strengths"] == [0.5, 2.0]
    assert again.finished == run.finished


def test_strength_0_writes_what_the_plain_model_writes(sweep):
    texts = sweep(0.0, ways=["track", "flow"]).table("steering", "texts")
    plain = texts.filter(way="plain").drop("way")
    for way in ("track", "flow"):
        assert texts.filter(way=way).drop("way").equals(plain)


def test_another_sweep_stands_beside_and_the_same_is_not_made_again(sweep, run, monkeypatch):
    sweep(0.5, ways=["track"])
    first = Run.open(run.path).table("steering", "texts")
    sweep(0.5, ways=["layer"], name="alone")
    both = Run.open(run.path)
    assert [s.name for s in both.section("steering").sweeps][1] == "alone"
    assert both.table("steering", "texts").head(len(first)).equals(first)
    with pytest.raises(RunError, match=r"another sweep 'alone': strengths.*--overwrite"):
        sweep(1.0, ways=["layer"], name="alone")
    sweep(1.0, ways=["layer"], name="alone", overwrite=True)
    table = Run.open(run.path).table("steering", "means")
    assert table.filter(sweep="alone")["strength"].to_list() == [0.0, 1.0]
    # what is there is neither written nor measured again
    monkeypatch.setattr("saematch.workflows.steer_sweep.continuations", None)
    sweep(1.0, ways=["layer"], name="alone")
    assert Run.open(run.path).table("steering", "means").equals(table)


def test_texts_are_rated_where_an_endpoint_is_given_without_writing_them_anew(sweep, run):
    sweep(0.5, ways=["track"])
    texts = Run.open(run.path).table("steering", "texts")
    rater = Rater()
    sweep(0.5, ways=["track"], endpoint=rater, concept="rivers")
    rated = Run.open(run.path)
    assert (
        rated.table("steering", "texts")
        .drop("concept", "fluency")
        .equals(texts.drop("concept", "fluency"))
    )
    assert len(rater.asked) == 2 * len(texts)
    assert rated.table("steering", "means")["concept"].to_list() == [2.0, 2.0]
    assert rated.table("steering", "means")["fluency"].to_list() == [1.0, 1.0]
    figure = rated.section("steering").sweeps[0]
    assert (figure.judge, figure.concept) == ("rater", "rivers")
    rater.forecast = lambda questions: Forecast(9, 0, 300_000, 9)
    with pytest.raises(SaematchError, match="agree to it"):
        sweep(0.5, ways=["track"], endpoint=rater, concept="rivers")


@pytest.mark.parametrize(
    ("strengths", "options", "said"),
    [
        ((), {}, "needs a strength"),
        ((1.0, 1.0), {}, "given twice"),
        ((1.0,), {"how": "remove"}, "remove has none"),
        ((1.0,), {"ways": ["road"]}, "way is 'road'"),
        ((1.0,), {"name": "a/b"}, "cannot be called 'a/b'"),
        ((float("inf"),), {}, "finite"),
    ],
)
def test_sweeps_that_cannot_be(sweep, run, strengths, options, said):
    with pytest.raises(SaematchError, match=said):
        sweep(*strengths, **options)
    assert Run.open(run.path).section("steering") is None


def test_a_way_that_there_is_not_is_left_out_with_a_note(sweep, world, run):
    tracks = world[1].table("flow", "tracks").filter(mode="chained")
    alone = tracks.join(tracks.group_by("track").len().filter(len=1), on="track", how="semi")
    assert len(alone), "the world has features without a match"
    site, number = alone.select("site", "feature").row(0)
    sweep(0.5, features=f"{site}/{number}")
    section = Run.open(run.path).section("steering")
    assert "track" not in section.sweeps[0].options["ways"]
    assert any("alone in its track" in note for note in section.sweeps[0].notes)
    with pytest.raises(RunError, match="alone in its track"):
        sweep(0.5, features=f"{site}/{number}", ways=["track"], name="b")


def made_up(rows):
    """Means of a sweep, all that damage and effect are told by."""
    names = ("way", "strength", "activation", "half", "perplexity", "distinct_2")
    frame = pl.DataFrame(rows, names, orient="row").with_columns(sweep=pl.lit("s"))
    half = pl.col("half")
    return frame.with_columns(
        activation_low=pl.col("activation") - half, activation_high=pl.col("activation") + half
    )


def test_damage_and_the_best_way():
    table = made_up(
        [
            ("plain", 0.0, 0.01, 0.005, 20.0, 0.9),
            ("layer", 1.0, 0.03, 0.004, 39.0, 0.9),
            ("layer", 2.0, 0.09, 0.004, 41.0, 0.9),  # too improbable
            ("track", 1.0, 0.08, 0.004, 15.0, 0.5),  # repeats itself
            ("track", 0.5, 0.04, 0.03, 21.0, 0.9),  # no more than the plain model, for all we know
            ("flow", 0.5, 0.02, 0.001, 21.0, 0.9),
        ]
    )
    assert with_damage(table)["damaged"].to_list() == [False, False, True, True, False, False]
    best = best_of(table)
    assert (best["way"], best["strength"]) == ("layer", 1.0)
    assert best_of(table.filter(pl.col("way") != "layer"))["way"] == "flow"
    assert best_of(table.filter(pl.col("way").is_in(["plain", "track"]))) is None


def test_the_figure_shows_the_means(sweep, run):
    with_nothing, missing = figures(run, ["steering"])
    assert not with_nothing
    assert "steer --sweep" in missing["steering"]
    sweep(0.5, 2.0)
    opened = Run.open(run.path)
    table = opened.table("steering", "means")
    figure = figures(opened, ["steering"])[0]["steering"]
    assert len(figure.data) == 12
    drawn = [[*line.y] for line in figure.data if line.name == "its flow"]
    rows = table.filter(way="flow")
    for column, values in zip(("activation", "perplexity", "distinct_2"), drawn, strict=True):
        np.testing.assert_allclose(values, rows[column].to_list())
    assert figure.layout.title.text.startswith("<b>")


def test_the_figure_shows_ratings_where_there_are(sweep, run):
    sweep(0.5, endpoint=Rater(), concept="rivers")
    figure = figures(Run.open(run.path), ["steering"])[0]["steering"]
    titles = [note.text for note in figure.layout.annotations]
    assert "rated: concept" in titles
    assert len(figure.data) == 4 * 5


# the command line loads SAEs itself, so its run is one of shipped SAEs


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return saematch.flow(
        "saematch:resid_post_{2-4}", method="cosine", out=tmp_path_factory.mktemp("s") / "run"
    )


def said(*arguments, fails=False, width=100):
    done = CliRunner().invoke(
        app, ["steer", *map(str, arguments)], env={"COLUMNS": str(width)}, catch_exceptions=True
    )
    if fails:
        assert done.exit_code != 0
        return f"{done.output} {done.exception}"
    assert done.exit_code == 0, done.output
    return done.output


MODEL = ("--model", "saematch:model")


def test_texts_side_by_side(shipped):
    asked = (shipped.path, "3_1503", *MODEL, "--prompt", "In the", "--tokens", 6, "--seed", 1)
    text = said(*asked, "--along", "track", "--strength", 0.7)
    for layer in (2, 3, 4):
        assert f"resid_post_{layer} #" in text
    assert "plain" in text
    assert "steered" in text
    assert "adds an activation of" in text
    nothing = said(*asked, "--strength", 0)
    found = saematch.steering.continuations(
        saematch.models.open_model("saematch:model"), ["In the"], tokens=6, seed=1
    )[0]
    words = found.text.split()[0]
    assert nothing.count(words) >= 2
    removed = said(*asked, "--how", "remove")
    assert "removed" in removed
    scaled = said(*asked, "--how", "scale", "--strength", 3)
    assert "times 3" in scaled


def test_scores_are_printed_where_the_layer_is_chosen_by_them(shipped):
    asked = (shipped.path, "3_1503", *MODEL, "--prompt", "In the", "--tokens", 4)
    text = said(*asked, "--layer", "output-score")
    assert "Output scores" in text
    assert text.count("▶") == 1


def test_a_sweep_on_the_command_line(shipped, tmp_path):
    shutil.copytree(shipped.path, tmp_path / "run")
    asked = (tmp_path / "run", "3_1503", *MODEL, "--prompt", "In the", "--tokens", 4)
    text = said(*asked, "--sweep", "0.5,1", "--along", "track", "--name", "mine")
    assert "Sweep mine: resid_post_3/1503" in text
    assert "perplexity" in text
    assert said(*asked, "--sweep", "0.5,1", "--along", "track", "--name", "mine", "-q").strip() == (
        str(tmp_path / "run")
    )
    other = said(*asked, "--sweep", "1", "--layer", "output-score")
    assert "output-score" in other


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("3_9999", "--prompt", "a"), "has no feature 9999"),
        (("9_1", "--prompt", "a"), "no SAE of the residual stream at layer 9"),
        (("3_1503",), "--prompt TEXT"),
        (("3_1503", "--prompt", "a", "--how", "remove", "--strength", "1"), "removed whole"),
        (("3_1503", "--prompt", "a", "--how", "scale"), "scale by how much"),
        (("3_1503", "--prompt", "a", "--along", "flow", "--layer", "3"), "along the flow"),
        (("3_1503", "--prompt", "a", "--layer", "top"), "give a number, or output-score"),
        (("3_1503", "--prompt", "a", "--name", "x"), "--name is of a sweep"),
        (("3_1503", "--prompt", "a", "--chat"), "no chat template"),
        (("3_1503", "--sweep", "1", "--strength", "1"), "a sweep has its strengths"),
        (("3_1503", "--sweep", "1", "--layer", "3"), "name the feature there"),
        (("3_1503", "--sweep", "1", "--concept", "x"), "give --judge-model"),
        (("3_1503", "--sweep", "1", "--how", "remove"), "remove has none"),
        (("3_1503", "--sweep", "1", "--along", "flow", "--layer", "output-score"), "all layers"),
    ],
)
def test_bad_input_is_one_clear_line(shipped, options, wanted):
    text = said(shipped.path, *options, *MODEL, fails=True)
    assert wanted in " ".join(text.split())


def test_an_unknown_schedule_is_refused_by_name(shipped):
    text = said(shipped.path, "3_1", *MODEL, "--prompt", "a", "--schedule", "steep", fails=True)
    assert "steep" in text
    assert "exponential" in text
