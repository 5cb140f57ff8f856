"""`saematch changes`: a list of what the tables say, legible and written whole."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

import saematch
from saematch.cli import app
from saematch.layers.changes import changes
from saematch.runs.run import Run
from support.stand_in import write_shipped


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = write_shipped(tmp_path_factory.mktemp("data"), d_in=32) / "saes"
    saes = [saematch.load(folder / f"resid_post_{layer}") for layer in range(1, 4)]
    made = Run.create(tmp_path_factory.mktemp("run"), "flow", {}, saes)
    for i in (0, 1):
        match = saematch.match(saes[i], saes[i + 1], "feature-flow")
        made.add_pair(made.names[i], made.names[i + 1], match)
    return made


def shown(run, *arguments):
    done = CliRunner().invoke(
        app, ["changes", str(run.path), *map(str, arguments)], env={"COLUMNS": "100"}
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_the_list_is_that_of_the_tables_the_surest_first(run):
    found = changes(run, "2")
    text = shown(run, "2", "--most", 2)
    assert text.startswith("resid_post_2\n")
    assert {"new", "gone"} <= set(found["kind"])
    last = 0
    for (kind,), rows in found.group_by("kind", maintain_order=True):
        head = text.index(f"{len(rows)} {kind}: ")
        assert head > last
        last = head
        first = rows.row(0, named=True)
        side = "from" if kind in ("new", "merged") else "to"
        line = text[text.index(f"  #{first['feature']}  ", head) :]
        assert f"{side} #{first['partners'][0]}" in line.replace("\n", " ")[:300]
        if len(rows) > 2:
            assert f"and {len(rows) - 2} more" in text[head:]
    assert "«" in text  # what they fire on


@pytest.mark.parametrize("ending", [".csv", ".json", ".parquet"])
def test_all_of_them_are_written(run, tmp_path, ending):
    place = tmp_path / f"changes{ending}"
    shown(run, "resid_post_2", "-e", place)
    wanted = changes(run, "2")
    if ending == ".csv":
        found = pl.read_csv(place)
        assert found["partners"].cast(pl.String).to_list() == [
            " ".join(map(str, some)) for some in wanted["partners"]
        ]
    elif ending == ".json":
        found = pl.DataFrame(json.loads(place.read_text()))
        assert found["partners"].to_list() == wanted["partners"].to_list()
    else:
        found = pl.read_parquet(place)
        assert found.drop("label").equals(wanted)
    for column in ("kind", "feature", "other"):
        assert found[column].to_list() == wanted[column].to_list()
    assert found["label"].is_not_null().any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("2", "-e", "x.txt"), "x.txt: the name must end in .csv, .json, .parquet"),
        (("9",), "no SAE of the residual stream at layer 9"),
        (("mlp",), "the run has no SAE 'mlp'"),
    ],
)
def test_errors_name_what_would_be_right(run, arguments, words):
    done = CliRunner().invoke(app, ["changes", str(run.path), *arguments])
    assert done.exit_code == 1
    assert words in " ".join(str(done.exception).split())
