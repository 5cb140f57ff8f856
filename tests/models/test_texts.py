"""Which texts are drawn from where, and how they become tokens."""

import json
import sys

import numpy as np
import polars as pl
import pytest

from saematch import SaematchError
from saematch.models.texts import Text, Texts, examples_of, open_texts, tokenise
from saematch.sae import shipped

WORDS = {"[UNK]": 0, "<s>": 1, "</s>": 2, "[CLS]": 3, "[SEP]": 4}
SENTENCE = [WORDS.setdefault(w, len(WORDS)) for w in ("one", "two", "three", "four", "<", "s", ">")]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Where `datasets` keeps what it reads: not in the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        patch.setattr("datasets.config.HF_UPDATE_DOWNLOAD_COUNTS", False)
        yield


def tokenizer(added: str | None = None, **specials):
    """A tokenizer of whole words; `added` stands before each text by its own habit."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    if added:
        inner.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
            single=f"{added} $A", special_tokens=[(added, WORDS[added])]
        )
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", **specials)


@pytest.mark.parametrize("added", [None, "<s>"])
def test_bos_comes_first_and_once_whether_the_tokenizer_adds_it_or_not(added):
    (ids,) = tokenise(["one two three"], tokenizer(added, bos_token="<s>", eos_token="</s>"))
    assert ids.tolist() == [1, 5, 6, 7]
    assert ids.dtype == np.int64


def test_without_bos_an_encoders_cls_comes_first_and_else_the_text_itself():
    cls = tokenizer(cls_token="[CLS]", sep_token="[SEP]")
    assert tokenise(["one two"], cls)[0].tolist() == [3, 5, 6]
    assert tokenise(["one two"], tokenizer(eos_token="</s>"))[0].tolist() == [5, 6]


def test_words_that_look_like_special_tokens_are_none():
    made = tokenizer(bos_token="<s>")
    assert made("one <s> two", add_special_tokens=False)["input_ids"] == [5, 1, 6]
    (ids,) = tokenise(["one <s> two"], made)
    assert 1 not in ids[1:]
    assert ids[[0, 1, -1]].tolist() == [1, 5, 6]
    # and the tokenizer does what it did before
    assert made("one <s> two", add_special_tokens=False)["input_ids"] == [5, 1, 6]


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_beginning_is_kept_up_to_the_least_of_the_limits(side):
    made = tokenizer(bos_token="<s>", model_max_length=4, truncation_side=side)
    text = ["one two three four"]
    assert tokenise(text, made)[0].tolist() == [1, 5, 6, 7]
    assert tokenise(text, made, length=3)[0].tolist() == [1, 5, 6]
    assert tokenise(text, made, limit=2)[0].tolist() == [1, 5]
    unbounded = tokenizer(bos_token="<s>")
    assert tokenise(text, unbounded)[0].tolist() == [1, 5, 6, 7, 8]
    with pytest.raises(SaematchError, match="length=1"):
        tokenise(text, made, length=1)


@pytest.mark.parametrize("specials", [{"bos_token": "<s>"}, {"eos_token": "</s>"}])
@pytest.mark.parametrize("words", range(2, 12))
def test_no_token_of_a_long_text_is_lost_or_counted_twice(specials, words):
    made, text = (
        tokenizer(**specials),
        " ".join(["one", "two", "three"][i % 3] for i in range(words)),
    )
    found = tokenise([text], made, length=4)
    assert max(map(len, found)) <= 4
    counted = [i for example in found for i in example[1:].tolist()]
    whole = made(text, add_special_tokens=False)["input_ids"]
    # without BOS the text's own first token never counts
    assert counted == (whole if "bos_token" in specials else whole[1:])
    assert len(tokenise([text], made, length=4, long="truncate")) == 1


def test_what_is_left_out_is_told_with_numbers(tmp_path):
    made, path = tokenizer(bos_token="<s>"), tmp_path / "long.txt"
    path.write_text("one two three four " * 25)
    texts = open_texts(str(path))
    every = examples_of(texts, made, 11)
    assert [len(e) for e in every.ids] == [11] * 10
    assert every.notes == (
        "PATH: 1 of 1 texts are longer than an example of 11 tokens, and are split into 10 (--long "
        "truncate keeps the first)".replace("PATH", str(path)),
    )
    some = examples_of(texts, made, 11, n=4, seed=1)
    assert len(some.ids) == 4
    assert "4 of 10 examples, drawn at random: 66 tokens are left out" in some.notes[-1]
    first = examples_of(texts, made, 11, long="truncate")
    assert [e.tolist() for e in first.ids] == [every.ids[0].tolist()]
    assert (
        "1 of 1 texts are longer than an example of 11 tokens, and are cut there: 90"
        in (first.notes[-1])
    )
    short = examples_of(texts, made, 52, least=50)
    assert [len(e) for e in short.ids] == [52, 50]
    assert "1 examples of less than 51" in examples_of(texts, made, 52, least=51).notes[-1]


def test_texts_drawn_of_more_are_told(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "one {i}"}}\n' for i in range(9)))
    texts = open_texts(str(tmp_path / "a.jsonl"), n=4)
    assert len(texts.texts) == 4
    assert "4 of 9 texts, drawn at random" in texts.notes[0]


def test_what_ships_is_cut_as_the_published_protocol_cuts():
    texts = open_texts("saematch:prose", n=2)
    assert texts.long == "truncate"
    assert [len(e) for e in tokenise(texts, tokenizer(bos_token="<s>"), 16)] == [16, 16]


def test_half_a_surrogate_pair_and_byte_order_marks_do_not_come_through(tmp_path):
    lines = ['{"text": "one \\ud83d two"}', '{"text": "three \\ud83d\\ude00"}']
    (tmp_path / "a.jsonl").write_text("\ufeff" + "\n".join(lines))
    texts = open_texts(str(tmp_path / "a.jsonl"))
    assert [t.text for t in texts.texts] == ["one \ufffd two", "three \U0001f600"]
    assert "1 texts hold half a surrogate pair" in texts.notes[0]
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfone")
    assert open_texts(str(tmp_path / "b.txt")).texts == [Text("b.txt", "one")]
    (ids,) = tokenise(["one \udc00 two"], tokenizer(bos_token="<s>"))
    assert ids.tolist() == [1, 5, 0, 6]


def test_texts_without_a_token_are_dropped():
    texts = Texts("mine", [Text("a", "one"), Text("b", ""), Text("c", " \n"), Text("d", "two")])
    assert [e.tolist() for e in tokenise(texts, tokenizer(bos_token="<s>"))] == [[1, 5], [1, 6]]


def test_shipped_texts_are_read_by_kind_and_together():
    for kind in ("prose", "code", "reference"):
        texts = open_texts(f"saematch:{kind}", n=None)
        lines = (shipped.folder() / "texts" / f"{kind}.jsonl").read_text().splitlines()
        assert [t.text for t in texts.texts] == [json.loads(line)["text"] for line in lines]
        assert texts.texts[17].source == f"saematch:{kind}[17]"
    assert len(open_texts("saematch:texts", n=None).texts) == 360
    with pytest.raises(SaematchError, match="ships saematch:prose, saematch:code"):
        open_texts("saematch:poems")
    with pytest.raises(SaematchError, match="is text that a model makes: saematch"):
        open_texts("generated")
    with pytest.raises(SaematchError, match=r"nor one of .*, generated; a data set on the Hugging"):
        open_texts("wrtten")


def test_a_choice_is_random_without_repeats_and_the_same_for_one_seed():
    drawn = open_texts("saematch:texts", n=50, seed=3)
    sources = [t.source for t in drawn.texts]
    assert len(set(sources)) == 50
    assert open_texts("saematch:texts", n=50, seed=3) == drawn
    assert [t.source for t in open_texts("saematch:texts", n=50, seed=4).texts] != sources
    assert {s.split("[")[0] for s in sources} == {
        f"saematch:{k}" for k in ("prose", "code", "reference")
    }
    assert len(open_texts("saematch:prose", n=500).texts) == 120


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text("First.\n\n \nSecond,\nlonger.\n\n\n")
    (tmp_path / "empty.txt").write_text(" \n")
    rows = [{"text": "line\u2028one", "code": "x = 1"}, {"text": ""}, {"text": "two"}]
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    inner = tmp_path / "inner"
    inner.mkdir()
    pl.DataFrame({"text": ["p", None, "q"], "n": [1, 2, 3]}).write_parquet(inner / "c.parquet")
    (tmp_path / "notes.md").write_text("not read")
    return tmp_path


def found(spec, **options):
    return [(t.source, t.text) for t in open_texts(str(spec), n=None, **options).texts]


def test_files_of_every_kind_are_read(folder):
    assert found(folder / "a.txt") == [("a.txt", "First.\n\n \nSecond,\nlonger.\n\n\n")]
    assert found(f"{folder / 'a.txt'},by=paragraphs") == [
        ("a.txt[0]", "First."),
        ("a.txt[1]", "Second,\nlonger."),
    ]
    assert found(folder / "b.jsonl") == [("b.jsonl[0]", "line\u2028one"), ("b.jsonl[2]", "two")]
    assert found(folder / "inner" / "c.parquet") == [("c.parquet[0]", "p"), ("c.parquet[2]", "q")]
    assert [source for source, _ in found(folder)] == [
        "a.txt",
        "b.jsonl[0]",
        "b.jsonl[2]",
        "inner/c.parquet[0]",
        "inner/c.parquet[2]",
    ]


def test_what_cannot_be_read_is_named(folder, tmp_path):
    bad = folder / "bad.txt"
    for spec, words in {
        "nowhere/at/all": r"nor one of openwebtext, .*hub:nowhere/at/all",
        folder / "notes.md": r"read from \.txt, \.jsonl, \.parquet",
        folder / "empty.txt": "no text in it but white space",
        f"{folder / 'b.jsonl'},column=code": r"no column 'code'; it has text",
        f"{folder / 'inner/c.parquet'},column=body": r"no column 'body'; it has text, n",
        f"{folder / 'inner/c.parquet'},column=n": "row 0: n holds int, expected text",
        f"{folder / 'a.txt'},by=lines": "by=lines",
    }.items():
        with pytest.raises(SaematchError, match=words):
            open_texts(str(spec))
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(SaematchError, match="not text in UTF-8"):
        open_texts(str(bad))
    bad.rename(tmp_path / "bad.jsonl").write_text("{'text'}")
    with pytest.raises(SaematchError, match="row 0: not JSON"):
        open_texts(str(tmp_path / "bad.jsonl"))
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(SaematchError, match="not a Parquet table"):
        open_texts(str(tmp_path / "bad.parquet"))
    with pytest.raises(SaematchError, match="n=0"):
        open_texts("saematch:prose", n=0)


ROWS = [f"text {i}" if i % 3 else " = Heading = \n" for i in range(60)]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Stands in for the hub: any data set is a local file, opened by `datasets` itself."""
    import datasets

    # not Parquet: after a stream of that is left, datasets waits for five seconds
    pl.DataFrame({"text": [*ROWS, ""], "content": ["code", *ROWS]}).write_ndjson(
        tmp_path / "rows.jsonl"
    )
    real, calls = datasets.load_dataset, []

    def load(name, config=None, **options):
        calls.append({"name": name, "config": config, **options})
        if name.endswith("script") and options.get("revision") is None:
            raise RuntimeError("Dataset scripts are no longer supported, but found script.py")
        if name.endswith("gone"):
            raise FileNotFoundError(f"Dataset '{name}' doesn't exist")
        return real(
            "json",
            data_files={options["split"]: str(tmp_path / "rows.jsonl")},
            split=options["split"],
            streaming=options["streaming"],
        )

    monkeypatch.setattr(datasets, "load_dataset", load)
    return calls


@pytest.mark.parametrize("streaming", [True, False])
def test_texts_of_the_hub_are_drawn_at_random_and_by_seed(hub, streaming):
    texts = open_texts("hub:some/set", n=12, seed=1, streaming=streaming)
    drawn = [t.text for t in texts.texts]
    assert len(drawn) == 12
    assert set(drawn) <= set(ROWS)
    assert drawn != ROWS[:12]
    assert open_texts("hub:some/set", n=12, seed=1, streaming=streaming) == texts
    assert [
        t.text for t in open_texts("hub:some/set", n=12, seed=2, streaming=streaming).texts
    ] != drawn
    # a stream is drawn from in part, and that is said
    assert [("10,000 rows at a time" in note) for note in texts.notes] == [True] * streaming
    if not streaming:
        assert all(t.text == ROWS[int(t.source.split("[")[1][:-1])] for t in texts.texts)
    assert len(open_texts("hub:some/set", n=None, streaming=streaming).texts) == 60


def test_what_is_asked_of_the_hub(hub):
    open_texts("hub:some/set@v1,config=c,split=test,column=content", n=2)
    assert hub[-1] == {
        "name": "some/set",
        "config": "c",
        "split": "test",
        "revision": "v1",
        "streaming": True,
    }
    assert all(not t.text.startswith(" =") for t in open_texts("wikitext", n=40).texts)
    assert (hub[-1]["name"], hub[-1]["config"]) == ("Salesforce/wikitext", "wikitext-103-raw-v1")
    assert "code" in [t.text for t in open_texts("github", n=None).texts]
    assert hub[-1]["name"] == "loubnabnl/github-small-near-dedup"
    open_texts("openwebtext", n=1)
    assert hub[-1]["name"] == "Skylion007/openwebtext"


def test_a_data_set_made_by_a_script_is_read_as_the_hub_converted_it(hub):
    texts = open_texts("hub:some/script,config=plain", n=3)
    assert len(texts.texts) == 3
    assert hub[-1]["revision"] == "refs/convert/parquet"
    assert hub[-1]["data_dir"] == "plain"
    assert any("refs/convert/parquet" in note for note in texts.notes)


def test_what_the_hub_does_not_have_is_named(hub, monkeypatch):
    with pytest.raises(SaematchError, match=r"some/gone .*cannot be opened.*doesn't exist"):
        open_texts("hub:some/gone")
    with pytest.raises(SaematchError, match="no column 'body'; it has text, content"):
        open_texts("hub:some/set,column=body")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SaematchError, match="pip install datasets transformers"):
        open_texts("wikitext")
