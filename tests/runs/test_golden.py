"""Runs that were written once and must stay readable: in Python, and by the page's types."""

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from msgspec import NODEFAULT, UNSET
from msgspec.structs import fields

import saematch
from saematch.files.records import plain, read_record
from saematch.runs.manifest import listed
from saematch.runs.records import (
    Flow,
    ModeFigures,
    PairRecord,
    PairSummary,
    RunRecord,
    SaeRecord,
)

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "run"
OLDER = ROOT / "web" / "tests" / "fixtures" / "run"  # of before there were two tests


@pytest.fixture
def run(tmp_path) -> saematch.Run:
    shutil.copytree(GOLDEN, tmp_path / "run")
    return saematch.Run.open(tmp_path / "run")


def test_the_golden_run_says_what_it_said(run):
    assert run.names == ["resid_post_0", "resid_post_1", "resid_post_2"]
    assert run.pairs == [
        ("resid_post_0", "resid_post_1"),
        ("resid_post_0", "resid_post_2"),
        ("resid_post_1", "resid_post_2"),
    ]
    summary = run.summaries["resid_post_0", "resid_post_1"]
    table = run.pair("resid_post_0", "resid_post_1")
    assert summary.matched == table["matched"].sum() == 24
    assert (summary.test, summary["features_b"]) == ("direction", 24)
    lower_median = table["decoder_cosine"].sort()[11]
    assert summary["median_decoder_cosine"] == pytest.approx(lower_median)
    # a permutation with noise: features stay who they are
    assert table["target"].n_unique() == 24
    assert run.tracks().group_by("track").len()["len"].max() == 3
    flow = run.section("flow")
    assert flow is not None
    assert flow.chain == run.names
    assert flow.modes["chained"].tracks == run.tracks()["track"].n_unique()


def test_every_table_of_the_golden_run_is_read(run):
    places = [*listed(run.record)]
    assert sorted(places) == sorted(
        str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.parquet")
    )
    for place in places:
        assert run._read(place, *_names_of(place)).equals(pl.read_parquet(GOLDEN / place)), place


def _names_of(place: str) -> tuple[str, ...]:
    folder, name = place.removesuffix(".parquet").split("/")
    return () if folder == "flow" else tuple(name.split("--"))


@pytest.mark.parametrize("folder", [GOLDEN, OLDER], ids=["golden", "older"])
def test_a_record_that_is_read_is_written_as_it_was(folder):
    content = json.loads((folder / "run.json").read_text())
    again = plain(read_record(content, RunRecord))
    # what an older writer did not know may be added; nothing is lost or changed
    assert _lost(content, again) == []
    if folder == GOLDEN:
        assert again == content


def _lost(there, again, path="$"):
    if isinstance(there, dict):
        return [
            gone
            for key, value in there.items()
            for gone in (_lost(value, again[key], f"{path}.{key}") if key in again else [path])
        ]
    if isinstance(there, list):
        pairs = enumerate(zip(there, again, strict=True))
        return [gone for i, pair in pairs for gone in _lost(*pair, f"{path}[{i}]")]
    return [] if there == again else [path]


PAGE_TYPES = {
    "Sae": SaeRecord,
    "Pair": PairRecord,
    "Summary": PairSummary,
    "ModeFigures": ModeFigures,
    "Flow": Flow,
    "Manifest": RunRecord,
}
# of the page's own, or of older runs
OTHERS = {"Manifest": {"explorer"}, "Summary": {"null_score"}}


@pytest.mark.parametrize("name", PAGE_TYPES)
def test_the_types_of_the_page_are_those_of_the_records(name):
    source = (ROOT / "web" / "src" / "data" / "run.ts").read_text()
    body = re.search(rf"export interface {name} \{{\n(.*?)\n\}}", source, re.S)
    assert body is not None
    found = dict(re.findall(r"^  (\w+)(\??):", body[1], re.M))
    known = {field.name: field for field in fields(PAGE_TYPES[name])}
    assert set(found) - OTHERS.get(name, set()) <= set(known)
    for field in set(found) & set(known):
        absent = known[field].default is UNSET
        assert (found[field] == "?") >= absent, f"{field} may be absent"


@pytest.mark.parametrize("record", [SaeRecord, PairRecord, PairSummary, RunRecord])
def test_the_page_of_the_format_names_every_field(record):
    page = (ROOT / "docs" / "reference" / "run-directory.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    missing = [field.name for field in fields(record) if field.name not in named | {"more"}]
    assert missing == []


def test_what_readers_rely_on_must_be_there():
    content = json.loads((GOLDEN / "run.json").read_text())
    for field in fields(PairSummary):
        if field.default is NODEFAULT and field.default_factory is NODEFAULT:
            broken = json.loads(json.dumps(content))
            del broken["pairs"][0]["summary"][field.name]
            with pytest.raises(ValueError, match=rf"{field.name}.*\$\.pairs\[0?\.*\]?\.*summary"):
                read_record(broken, RunRecord)
