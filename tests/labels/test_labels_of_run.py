"""Labels in a run: kept, added to, replaced, and shown wherever its features are."""

import json
import re
from itertools import pairwise

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import saematch
from saematch.cli import app
from saematch.errors import RunError, SaematchError
from saematch.explorer.tables import prepare
from saematch.labels import Label, given_labels, labels_of
from saematch.labels.top_tokens import feature_labels, top_tokens
from saematch.labels.words import label_words
from saematch.layers.communities import graph_tables
from saematch.runs.run import Run
from saematch.workflows.trace import export_trace
from support.neuronpedia import row
from support.stand_in import write_shipped

SITE = "resid_post_2"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of four layers, and its SAEs."""
    folder = write_shipped(tmp_path_factory.mktemp("data"), d_in=32) / "saes"
    saes = [saematch.load(folder / f"resid_post_{layer}") for layer in range(1, 5)]
    run = Run.create(tmp_path_factory.mktemp("run") / "run", "flow", {}, saes)
    for (i, a), (j, b) in pairwise(enumerate(run.names)):
        run.add_pair(a, b, saematch.match(saes[i], saes[j], "cosine"))
    run.add("flow", graph_tables(run), {})
    run.finish()
    return run, saes


@pytest.fixture
def run(made, tmp_path):
    """A copy to write to."""
    import shutil

    return Run.open(shutil.copytree(made[0].path, tmp_path / "run"))


@pytest.fixture
def longest(made):
    """The feature of the first layer that goes farthest."""
    run = made[0]
    return max(range(48), key=lambda i: len(saematch.trace(run, "resid_post_1", i).forward))


def write(path, *rows, **more):
    path.write_text("\n".join(json.dumps({**more, **one}) for one in rows))
    return path


def of(feature: int, text: str, source: str | None = "me"):
    return {"feature": feature, "label": text, "source": source}


def rows_of(run, site=SITE):
    return pl.read_parquet(run.path / "labels" / f"{site}.parquet").rows()


def test_without_any_the_labels_are_the_top_tokens(made):
    run = made[0]
    found = labels_of(run)
    assert found["source"].unique().to_list() == ["top tokens"]
    assert_frame_equal(found.drop("source"), feature_labels(top_tokens(run)), check_row_order=False)
    assert len(given_labels(run)) == 0


def test_a_given_label_goes_before_top_tokens(run, tmp_path):
    before = labels_of(run)
    file = write(tmp_path / "x.jsonl", of(3, "Rivers"), of(3, "Lakes"), of(4, "code", None))
    done = saematch.label(run, file, sae=SITE)
    found = done.labels()
    assert len(found) == len(before) == found.select("site", "feature").n_unique()
    assert given_labels(done).rows() == [
        (SITE, 3, "Rivers", "me"),
        (SITE, 4, "code", "x.jsonl"),
    ]
    others = found.filter(pl.col("source") == "top tokens")
    assert len(others) == len(before) - 2
    assert rows_of(done) == [(3, "Rivers", "me"), (3, "Lakes", "me"), (4, "code", "x.jsonl")]
    assert Run.open(run.path).finished is not None


def test_sources_are_added_in_the_order_they_were_asked_for(run, tmp_path):
    one = write(tmp_path / "one.jsonl", of(3, "one"), site=SITE)
    two = write(tmp_path / "two.jsonl", of(3, "two"), of(5, "two"), of(3, "one"), site=SITE)
    saematch.label(run, [one, two])
    assert rows_of(run) == [(3, "one", "me"), (3, "two", "me"), (5, "two", "me")]
    again = {p: p.stat().st_mtime_ns for p in run.path.rglob("*.*")}
    saematch.label(run, [one, two])
    assert again == {p: p.stat().st_mtime_ns for p in run.path.rglob("*.*")}
    three = write(
        tmp_path / "three.jsonl", of(3, "three"), {**of(0, "x"), "site": "resid_post_1"}, site=SITE
    )
    saematch.label(run, three)
    assert rows_of(run)[:3] == [(3, "one", "me"), (3, "two", "me"), (3, "three", "me")]
    assert rows_of(run, "resid_post_1") == [(0, "x", "me")]
    section = Run.open(run.path).section("labels")
    assert section is not None
    assert [(s.site, s.asked, s.features, s.labels) for s in section.sources] == [
        (SITE, str(one), 1, 1),
        (SITE, str(two), 2, 3),
        (SITE, str(three), 1, 1),
        ("resid_post_1", str(three), 1, 1),
    ]


def test_another_content_of_a_source_is_refused_and_replaces_on_demand(run, tmp_path):
    other = write(tmp_path / "other.jsonl", of(7, "other"), site="resid_post_3")
    file = write(tmp_path / "x.jsonl", of(3, "one"), site=SITE)
    saematch.label(run, [file, other])
    write(file, of(3, "two"), site=SITE)
    with pytest.raises(RunError, match=r"holds other labels of resid_post_2 from .*--overwrite"):
        saematch.label(run, file)
    assert rows_of(run) == [(3, "one", "me")]
    saematch.label(run, file, overwrite=True)
    assert rows_of(run) == [(3, "two", "me")]
    assert Run.open(run.path).tables("labels") == [SITE]
    assert not (run.path / "labels" / "resid_post_3.parquet").exists()


def test_nothing_is_lost_where_new_labels_cannot_be_read(run, tmp_path):
    file = write(tmp_path / "x.jsonl", of(3, "one"), site=SITE)
    saematch.label(run, file)
    bad = write(tmp_path / "y.jsonl", of(48, "one"), site=SITE)
    with pytest.raises(
        SaematchError, match=r"y\.jsonl, line 1: feature 48, but the SAE has 0 to 47"
    ):
        saematch.label(run, bad, overwrite=True)
    assert rows_of(run) == [(3, "one", "me")]


def test_a_call_that_was_stopped_before_it_listed_its_table_goes_on(run, tmp_path, monkeypatch):
    one = write(tmp_path / "one.jsonl", of(3, "one"), site=SITE)
    two = write(tmp_path / "two.jsonl", of(3, "two"), site=SITE)
    saematch.label(run, one)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "update", lambda self, **fields: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            saematch.label(run, two)
    assert given_labels(Run.open(run.path))["label"].to_list() == ["one"]
    saematch.label(Run.open(run.path), two)
    assert rows_of(run) == [(3, "one", "me"), (3, "two", "me")]


def test_labels_stay_when_a_pair_is_added(run, made, tmp_path):
    saematch.label(run, write(tmp_path / "x.jsonl", of(3, "one"), site=SITE))
    saes = made[1]
    run.add_pair("resid_post_1", "resid_post_3", saematch.match(saes[0], saes[2], "cosine"))
    assert given_labels(Run.open(run.path))["label"].to_list() == ["one"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"feature": [48], "label": ["a"], "source": ["b"]}, r"column feature has 48"),
        ({"feature": [1], "label": [None], "source": ["b"]}, r"column label has gaps|holds Null"),
        ({"feature": [1], "label": ["a"]}, r"no column source"),
        ({"feature": ["1"], "label": ["a"], "source": ["b"]}, r"column feature holds String"),
    ],
)
def test_damaged_tables_are_named(run, tmp_path, table, said):
    saematch.label(run, write(tmp_path / "x.jsonl", of(3, "one"), site=SITE))
    pl.DataFrame(table).write_parquet(run.path / "labels" / f"{SITE}.parquet")
    with pytest.raises(RunError, match=rf"labels/resid_post_2\.parquet: .*({said})"):
        Run.open(run.path).labels()


def test_a_table_of_no_sae_of_the_run_is_damage(run, tmp_path):
    saematch.label(run, write(tmp_path / "x.jsonl", of(3, "one"), site=SITE))
    text = (run.path / "run.json").read_text()
    text = text.replace(f'"{SITE}": "labels/{SITE}.parquet"', '"other": "labels/other.parquet"')
    (run.path / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"labels.tables has 'other', none of \$\.saes"):
        Run.open(run.path)


# from Neuronpedia


def test_an_sae_whose_name_is_stated(run, bucket):
    bucket.fill("toy/2-res", [row(3, "rivers"), row(30, "code")])
    with pytest.raises(RunError, match=r"not known what resid_post_1, .* is called on Neuronpedia"):
        saematch.label(run, "neuronpedia")
    with pytest.raises(RunError, match=r"neuronpedia:toy/2-res: of which SAE\? Name it"):
        saematch.label(run, "neuronpedia:toy/2-res")
    with pytest.raises(SaematchError, match=r"'toy' is no SAE of Neuronpedia"):
        saematch.label(run, "neuronpedia:toy", sae=SITE)
    with pytest.raises(RunError, match=r"has no SAE 'resid_post_9'"):
        saematch.label(run, "neuronpedia:toy/2-res", sae="resid_post_9")
    steps = []
    saematch.label(run, "neuronpedia:toy/2-res", sae=SITE, progress=steps.append)
    assert [(step.stage, step.done, step.what) for step in steps] == [
        ("fetching labels", 0, SITE),
        ("fetching labels", 1, ""),
    ]
    assert rows_of(run) == [
        (3, "rivers", "Neuronpedia: gpt-4o-mini, oai_token-act-pair"),
        (30, "code", "Neuronpedia: gpt-4o-mini, oai_token-act-pair"),
    ]
    again = Run.open(run.path)
    assert again.sae(SITE).conventions.neuronpedia_id == "toy/2-res"
    section = again.section("labels")
    assert section is not None
    assert section.sources[0].neuronpedia == "toy/2-res"
    # what the run holds is not asked for again, and its name is known from here on
    bucket.asked.clear()
    saematch.label(run, "neuronpedia:toy/2-res", sae=SITE)
    assert bucket.asked == []
    saematch.label(run, "neuronpedia", overwrite=True)
    assert rows_of(run)[0][:2] == (3, "rivers")


def test_all_saes_whose_names_are_known_and_the_others_are_told(run, bucket, caplog):
    for site, name in ((SITE, "toy/2-res"), ("resid_post_3", "toy/3-res")):
        bucket.fill(name, [row(3, f"of {site}")])
        bucket.fill(f"{name}-x", [row(1, "stated")])
        saematch.label(run, f"neuronpedia:{name}-x", sae=site)
        path = run.path / "run.json"
        path.write_text(path.read_text().replace(f'"{name}-x",', f'"{name}",'))
    saematch.label(Run.open(run.path), "neuronpedia", overwrite=True)
    assert "not known what is called on Neuronpedia: resid_post_1, resid_post_4" in caplog.text
    assert rows_of(run)[0][:2] == (3, f"of {SITE}")
    assert rows_of(run, "resid_post_3")[0][:2] == (3, "of resid_post_3")


# where they are shown


def called(*arguments, width=100):
    done = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": str(width)})
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_says_how_many_from_where(run, tmp_path, bucket):
    bucket.fill("toy/2-res", [row(number, "a") for number in range(12)])
    file = write(tmp_path / "x.jsonl", of(3, "b"), of(40, "c"), site=SITE)
    said = called("label", run.path, "neuronpedia:toy/2-res", "--sae", SITE, file, width=200)
    line = next(line for line in said.splitlines() if line.startswith(SITE))
    assert re.split(r"\s{2,}", line.strip()) == [
        SITE,
        "48",
        "13 (27%)",
        f"neuronpedia:toy/2-res (12), {file} (2)",
    ]
    assert re.search(r"resid_post_1\s+48\s+none", said)
    assert called("label", run.path, file, "--quiet") == f"{run.path}\n"


def test_a_trace_has_the_labels_of_its_way(run, longest, tmp_path):
    way = saematch.trace(run, "resid_post_1", longest)
    step = way.forward[0].link
    assert way.label is not None
    assert way.label.source == "top tokens"
    rows = [
        {**of(longest, "The Kings of [bold]Spain"), "site": "resid_post_1"},
        {**of(step.feature, "x\x1b[2J " * 40, "Me & co"), "site": step.site},
    ]
    saematch.label(run, write(tmp_path / "x.jsonl", *rows))
    found = saematch.trace(run, "resid_post_1", longest)
    assert found.label == Label("The Kings of [bold]Spain", "me")
    assert found.forward[0].label is not None
    assert found.forward[0].label.source == "Me & co"
    assert ">The Kings of [bold]Spain</td>" in found._repr_html_()
    for width in (60, 100):
        lines = called("trace", run.path, "1", longest, width=width).splitlines()
        place = lines.index(f"▶ resid_post_1 #{longest}")
        assert lines[place + 1] == "  The Kings of [bold]Spain  (me)"
        assert all(len(line) <= width for line in lines)
    assert "\x1b[2J" not in "".join(lines)
    assert "top tokens" not in "".join(lines)


def test_a_trace_asks_neuronpedia_on_demand_for_what_is_missing(run, longest, tmp_path, bucket):
    with pytest.raises(RunError, match=r"not known what resid_post_1, .*saematch label RUN neuron"):
        saematch.trace(run, "resid_post_1", longest, labels=True)
    step = saematch.trace(run, "resid_post_1", longest).forward[0].link
    path = run.path / "run.json"
    text = path.read_text().split('"neuronpedia_id": null')
    path.write_text(
        '"neuronpedia_id": "toy/1-res"'.join(text[:2])
        + '"neuronpedia_id": "toy/2-res"'
        + '"neuronpedia_id": null'.join(text[2:])
    )
    run = Run.open(run.path)
    assert step.site == SITE
    answer = {"index": str(longest), "explanations": [row(longest, "Kings")]}
    bucket.api[f"api/feature/toy/1-res/{longest}"] = json.dumps(answer).encode()
    found = saematch.trace(run, "resid_post_1", longest, labels=True)
    assert found.label == Label("Kings", "Neuronpedia: gpt-4o-mini, oai_token-act-pair")
    assert found.forward[0].label == saematch.trace(run, SITE, step.feature).label
    assert bucket.asked == [
        f"api/feature/toy/1-res/{longest}",
        f"api/feature/toy/2-res/{step.feature}",
    ]
    assert "  Kings  (Neuronpedia" in called("trace", run.path, "1", longest, "--labels")
    assert run.section("labels") is None
    # what was given is not asked for
    bucket.asked.clear()
    rows = [{**of(longest, "mine"), "site": "resid_post_1"}]
    saematch.label(run, write(tmp_path / "x.jsonl", *rows))
    found = saematch.trace(run, "resid_post_1", longest, labels=True)
    assert found.label == Label("mine", "me")
    assert bucket.asked == [f"api/feature/toy/2-res/{step.feature}"]


def test_exports_and_changes_have_them(run, longest, tmp_path):
    text = 'Kings & "Queens" of <Spain>'
    saematch.label(run, write(tmp_path / "x.jsonl", {**of(longest, text), "site": "resid_post_1"}))
    found = saematch.trace(run, "resid_post_1", longest)
    export_trace(run, found, tmp_path / "a.json")
    nodes = json.loads((tmp_path / "a.json").read_text())["nodes"]
    assert [node["clerp"] for node in nodes if node["clerp"] == text] == [text]
    export_trace(run, found, tmp_path / "a.graphml")
    escaped = "Kings &amp; &quot;Queens&quot; of &lt;Spain&gt;"
    assert (tmp_path / "a.graphml").read_text().count(escaped) == 1
    table = saematch.changes(run, "resid_post_1")
    feature = table["feature"][0]
    rows = [{**of(feature, "Newly given"), "site": "resid_post_1"}]
    saematch.label(run, write(tmp_path / "y.jsonl", *rows), overwrite=True)
    again = saematch.changes(run, "resid_post_1")
    assert set(again.filter(feature=feature)["label"]) == {"Newly given"}
    assert_frame_equal(again.drop("label"), table.drop("label"))
    assert f"#{feature}  Newly given" in called("changes", run.path, "1")


def test_the_explorer_shows_them_and_finds_their_words(run, tmp_path, bucket):
    rows = [of(7, 'The "Kings" of Spain, the river.'), of(8, "kings")]
    saematch.label(run, write(tmp_path / "x.jsonl", *rows, site=SITE))
    made = prepare(run)

    def read(name):
        return pl.read_parquet(sorted(made.folder.glob(f"{name}.parquet")))

    start = {
        site["name"]: site["start"]
        for site in json.loads((made.folder / "index.json").read_text())["sites"]
    }[SITE]
    labels, life = read("labels")["label"], read("life/*")
    assert labels[start + 7] == 'The "Kings" of Spain, the river.'
    given = life.filter(pl.col("label_source").is_not_null())
    assert given.select("feature", "label", "label_source").sort("feature").rows() == [
        (7, 'The "Kings" of Spain, the river.', "me"),
        (8, "kings", "me"),
    ]
    others = feature_labels(top_tokens(run)).filter(site=SITE, feature=9)["label"]
    assert labels[start + 9] == others[0]
    words, postings = read("vocabulary"), read("postings")
    assert words["token"].is_unique().all()

    def firing(token):
        word = words.row(by_predicate=pl.col("token") == token, named=True)
        part = postings[word["first"] : word["first"] + word["features"]]
        return part.select("node", "weight").rows()

    assert [node for node, _ in firing("kings")] == [start + 8, start + 7]
    assert [weight for _, weight in firing("kings")] == pytest.approx([1, 1 / 5])
    # what it fires on counts beside what it is said to mean
    both = dict(firing("river"))
    own = top_tokens(run).filter(site=SITE, token="river")
    assert len(own)
    assert both.keys() == {
        start + 7,
        *(
            {name: 48 * place for place, name in enumerate(run.names)}[site] + feature
            for site, feature in top_tokens(run)
            .filter(token="river")
            .select("site", "feature")
            .rows()
        ),
    }


def test_words_of_a_label_without_marks():
    labels = pl.DataFrame(
        {"site": ["a", "a", "a"], "feature": [1, 2, 3], "label": ["It's (a) it's -- ?", "", None]}
    )
    assert label_words(labels).rows() == [
        ("a", 1, "it's", 0.25),
        ("a", 1, "a", 0.25),
        ("a", 1, "--", 0.25),
        ("a", 1, "?", 0.25),
    ]
