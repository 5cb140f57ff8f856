"""run.json as records: what is read is written again, and what is wrong is named by its path."""

import copy
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saematch import Run, RunError
from saematch.files.records import plain, read_record
from saematch.runs.records import RunRecord

NAMES = st.text("abcXYZ_019.+=-é ", min_size=1, max_size=20).filter(lambda n: n[0] != ".")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
CONVENTIONS = {"activation": "relu", "k": None, "centred": False, "source": "x", "notes": []}


@st.composite
def manifests(draw):
    """The content of a run.json, with keys that no record knows."""
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    saes = [
        {
            "name": name,
            "checksum": "sha256:0",
            "d_in": 8,
            "d_sae": draw(st.integers(1, 2**20)),
            "d_out": 8,
            "threshold_kind": "none",
            "excluded": draw(st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=2)),
            "conventions": {**CONVENTIONS, "later": draw(JSON)},
            "features": f"features/{name}.parquet",
            "contexts": None,
            "unknown": draw(JSON),
        }
        for name in names
    ]
    return {
        "format": "saematch run",
        "format_version": 2,
        "saematch": "0.1.0",
        "command": "match",
        "options": draw(st.dictionaries(st.text(max_size=5), JSON, max_size=3)),
        "created": "2026-01-01T00:00:00+00:00",
        "finished": None,
        "saes": saes,
        "pairs": [],
        "of another program": draw(JSON),
    }


@given(manifests())
def test_what_is_read_is_written_again(content):
    again = plain(read_record(content, RunRecord))
    assert holds(again, content)
    assert plain(read_record(again, RunRecord)) == again
    assert json.loads(json.dumps(again)) == again


def holds(more, content):
    """Whether all of `content` is in `more`, which may have defaults beside it."""
    if isinstance(content, dict):
        return all(key in more and holds(more[key], value) for key, value in content.items())
    if isinstance(content, list):
        return len(more) == len(content) and all(map(holds, more, content))
    return more == content


WRONG = {
    ("saes", 0, "d_sae"): (0, r"\$\.saes\[0\]\.d_sae"),
    ("saes", 0, "name"): ("../x", r"\$\.saes"),
    ("saes", 0, "features"): ("elsewhere.parquet", "features is 'elsewhere.parquet'"),
    ("saes", 0, "conventions", "k"): ("many", r"conventions\.k"),
    ("pairs",): ("none", r"\$\.pairs"),
    ("options",): ([], r"\$\.options"),
    ("finished",): (3, r"\$\.finished"),
}


@pytest.mark.parametrize("place", WRONG)
@given(content=manifests())
def test_what_is_wrong_is_named_by_its_path(place, content):
    value, message = WRONG[place]
    broken = copy.deepcopy(content)
    inner = broken
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(msgspec.ValidationError, match=message):
        read_record(broken, RunRecord)


def test_a_damaged_run_is_refused_in_one_line(tmp_path):
    (tmp_path / "run.json").write_text(
        json.dumps({"format": "saematch run", "format_version": 2, "saes": 3})
    )
    with pytest.raises(RunError, match=r"run\.json is damaged \(.*\); write elsewhere") as raised:
        Run.open(tmp_path)
    assert "\n" not in str(raised.value)
