"""Neuronpedia's public files: read right, refused where damaged, fetched once."""

import gzip

import pytest

from saematch.errors import SaematchError
from saematch.labels import bulk, fetching
from saematch.labels.bulk import bulk_labels, folder_of
from saematch.labels.fetching import UnreachableError
from saematch.labels.neuronpedia import NeuronpediaId
from support.neuronpedia import Answer, packed, row

OF = NeuronpediaId("toy", "3-res")
BATCHES = (
    [
        row(0, "rivers"),
        row(1, " The King's\u2028daughter "),
        row(10, "digits"),
        row(10, "numbers", "old"),
    ],
    [row(11, None), row(12, ""), row(2, "code", "old"), row(2, "Python code")],
    [row(3, "brackets"), row(3, "brackets")],
)
NEW = "Neuronpedia: gpt-4o-mini, oai_token-act-pair"
OLD = "Neuronpedia: old, oai_token-act-pair"
ALL = [
    (0, "rivers", NEW),
    (1, "The King's\u2028daughter", NEW),
    (2, "Python code", NEW),
    (2, "code", OLD),
    (3, "brackets", NEW),
    (10, "digits", NEW),
    (10, "numbers", OLD),
]
KEY = "v1/toy/3-res/explanations/batch-{}.jsonl.gz"


@pytest.fixture
def filled(bucket):
    bucket.fill("toy/3-res", *BATCHES)
    bucket.fill("toy/3-res-wide", [row(40, "of another SAE")])
    bucket.files["v1/toy/3-res/explanations/notes.txt"] = b"of no interest"
    return bucket


def test_all_labels_the_commonest_author_first(filled):
    assert bulk_labels(OF, 13).rows() == ALL


def test_files_are_fetched_once_and_anew_where_they_changed(filled):
    steps = []
    bulk_labels(OF, 13, lambda *step: steps.append(step))
    assert filled.batches_asked() == [f"batch-{n}.jsonl.gz" for n in range(3)]
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert bulk_labels(OF, 13).rows() == ALL
    assert filled.batches_asked() == []
    # of the same length: its digest tells
    filled.files[KEY.format(2)] = packed([row(3, "Brackets"), row(3, "Brackets")])
    filled.odd[KEY.format(0)] = Answer(500)
    assert bulk_labels(OF, 13)["label"].to_list()[4] == "Brackets"
    assert filled.batches_asked() == ["batch-2.jsonl.gz"]


def test_what_was_interrupted_goes_on_with_what_is_missing(filled, monkeypatch):
    monkeypatch.setattr(bulk, "AT_ONCE", 1)
    filled.odd[KEY.format(1)] = Answer(500)
    with pytest.raises(UnreachableError, match=r"batch-1\.jsonl\.gz: the server says 500.*4 times"):
        bulk_labels(OF, 13)
    assert filled.batches_asked().count("batch-1.jsonl.gz") == 4
    batches = {f"batch-{n}.jsonl.gz" for n in range(3)}
    there = {path.name for path in folder_of(OF).iterdir()}
    assert "batch-0.jsonl.gz" in there
    assert there <= {*batches, "listing.json"} - {"batch-1.jsonl.gz"}
    filled.odd.clear()
    assert bulk_labels(OF, 13).rows() == ALL
    assert filled.batches_asked() == sorted(batches - there)


def test_damage_in_the_cache_is_mended(filled):
    bulk_labels(OF, 13)
    filled.batches_asked()
    place = folder_of(OF) / "batch-1.jsonl.gz"
    place.write_bytes(place.read_bytes()[:-5])
    assert bulk_labels(OF, 13).rows() == ALL
    assert filled.batches_asked() == ["batch-1.jsonl.gz"]


def test_without_a_network_the_cache_will_do_if_it_has_all(filled, monkeypatch):
    bulk_labels(OF, 13)
    filled.odd["listing"] = Answer(503)
    assert bulk_labels(OF, 13).rows() == ALL
    (folder_of(OF) / "batch-0.jsonl.gz").unlink()
    with pytest.raises(UnreachableError, match=r"list-type=2.*says 503"):
        bulk_labels(OF, 13)


def test_a_connection_that_breaks_is_tried_again(filled):
    content = filled.files[KEY.format(0)]
    filled.odd[KEY.format(0)] = Answer(content=content, cut=9, times=2)
    filled.odd[KEY.format(1)] = Answer(503, headers={"Retry-After": "0"}, times=3)
    assert bulk_labels(OF, 13).rows() == ALL


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (Answer(content=bytes(99), cut=9), r"ended after 9 of 99 bytes; asked 4 times"),
        (Answer(403, b"denied"), r"batch-0\.jsonl\.gz: the server says 403 Forbidden"),
        (Answer(404), r"batch-0\.jsonl\.gz: no such file there"),
        (Answer(content=b"<html>"), r"6 bytes that are not the \d+ listed"),
        (Answer(content=bytes(1 << 12)), r"over 1,000 bytes, expected 1,000 at most"),
        (
            Answer(302, headers={"Location": "ftp://127.0.0.1/x"}),
            r"batch-0\.jsonl\.gz: .*unknown url type: ftp",
        ),
    ],
)
def test_what_is_no_batch_is_not_kept(filled, monkeypatch, odd, said):
    monkeypatch.setattr(bulk, "MOST_BATCH", 1000)
    filled.odd[KEY.format(0)] = odd
    with pytest.raises(SaematchError, match=said):
        bulk_labels(OF, 13)
    assert not (folder_of(OF) / "batch-0.jsonl.gz").exists()
    filled.odd.clear()
    assert bulk_labels(OF, 13).rows() == ALL


def test_a_server_that_says_nothing_is_left(filled, monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT", 0.05)
    monkeypatch.setattr(fetching, "TRIES", 2)
    filled.odd["listing"] = Answer(waits=True)
    with pytest.raises(UnreachableError, match=r"list-type.*asked 2 times"):
        bulk_labels(OF, 13)


def test_a_server_that_is_not_there(bucket, monkeypatch):
    monkeypatch.setenv(bulk.SERVER, "http://127.0.0.1:1")
    with pytest.raises(UnreachableError, match=r"cannot be reached \(Connection refused\)"):
        bulk_labels(OF, 13)
    monkeypatch.setenv(bulk.SERVER, "file:///etc")
    with pytest.raises(SaematchError, match=r"file:///etc/.*expected an address of http or https"):
        bulk_labels(OF, 13)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (packed([row(0, "a")])[:-6], r"batch-0\.jsonl\.gz: truncated, corrupt or not a gzip file"),
        (b"not packed", r"batch-0\.jsonl\.gz: truncated, corrupt or not a gzip file"),
        (gzip.compress(b"\xff\xfe"), r"batch-0\.jsonl\.gz: .*not a gzip file of text"),
        (gzip.compress(b'{"index": "0"}'), r"line 1: no description"),
        (gzip.compress(b'{"index": "0", "description": "a"}\n{"ind'), r"line 2: not JSON"),
        (gzip.compress(b"[]"), r"line 1: no index"),
        (packed([row(0, "a"), row(13, "b")]), r"line 2: feature 13, but the SAE has 0 to 12; are"),
        (packed([{**row(0, "a"), "index": "-1"}]), r"line 1: feature '-1', expected a whole"),
        (packed([{**row(0, "a"), "index": "1.0"}]), r"line 1: feature '1.0', expected a whole"),
        (packed([{**row(0, "a"), "index": True}]), r"line 1: feature True, expected a whole"),
        (packed([{**row(0, "a"), "index": "9" * 5000}]), r"line 1: feature 9,.*, but the SAE has"),
        (packed([{**row(0, "a"), "description": 3}]), r"line 1: the label is 3, expected text"),
        (packed([row(0, "a" * 10_001)]), r"line 1: a label of 10,001 characters, expected 10,000"),
        (gzip.compress(bytes(1 << 20)), r"over 100,000 bytes unpacked"),
        (gzip.compress(b"[" * 99_000), r"line 1: not JSON \(it is nested too deeply\)"),
    ],
)
def test_damaged_files_are_named_and_fetched_again(filled, monkeypatch, content, said):
    monkeypatch.setattr(bulk, "MOST_TEXT", 100_000)
    good = filled.files[KEY.format(0)]
    filled.files[KEY.format(0)] = content
    with pytest.raises(SaematchError, match=said):
        bulk_labels(OF, 13)
    filled.files[KEY.format(0)] = good
    assert bulk_labels(OF, 13).rows() == ALL


def test_files_uploaded_in_parts_have_no_digest_and_are_told_by_their_size(filled):
    for key in filled.files:
        filled.etags[key] = "0123-2"
    assert bulk_labels(OF, 13).rows() == ALL


def test_an_sae_without_labels(filled):
    with pytest.raises(SaematchError, match=r"no file of labels of toy/4-res \(.*give the SAE's"):
        bulk_labels(NeuronpediaId("toy", "4-res"), 13)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html></html>", r"not a listing of S3 \(it is a <html>\)"),
        (b"<ListBucketResult><Con", r"truncated, corrupt or not a listing of S3"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult/>', r"has no DOCTYPE"),
    ],
)
def test_what_is_no_listing(filled, content, said):
    filled.odd["listing"] = Answer(content=content)
    with pytest.raises(SaematchError, match=said):
        bulk_labels(OF, 13)


def test_a_cache_that_cannot_be_written(filled, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SaematchError, match=r"cannot be written.*XDG_CACHE_HOME names another"):
        bulk_labels(OF, 13)


@pytest.mark.parametrize(
    "text", ["", "a", "a/b/c", "a/..", "../a", "a b/c", "a/b?c", "a/b\n", "é/b"]
)
def test_what_is_no_id(text):
    with pytest.raises(SaematchError, match="is no SAE of Neuronpedia: expected MODEL/SOURCE"):
        NeuronpediaId.parse(text)


def test_an_id_and_its_page():
    of = NeuronpediaId.parse("gemma-2-2b/12-gemmascope-res-16k")
    assert of == NeuronpediaId("gemma-2-2b", "12-gemmascope-res-16k")
    assert of.page(7) == "https://www.neuronpedia.org/gemma-2-2b/12-gemmascope-res-16k/7"
