"""Texts for a model to read: shipped ones, local files, or data sets from the Hugging Face hub.

A specification is one of

- `saematch:prose`, `saematch:code`, `saematch:reference`, or `saematch:texts` for all three;
- `openwebtext`, `wikitext` or `github`: the data sets of SAE Match (arXiv 2410.07656);
- `hub:NAME`, any data set on the hub, with `,config=C`, `,split=S` (train), `,column=C` (text) and
  `,revision=R` appended as needed: `hub:stas/openwebtext-10k,split=train`;
- a file or a folder of files: `.txt` (one text per file, or with `,by=paragraphs` one per
  paragraph, separated by blank lines), `.jsonl` or `.parquet` (one text per row, in `text` or
  `,column=C`).

Generated text comes from `saematch.models.write`.

A text longer than an example is split into several, so that all of it is read. The shipped texts,
and the data sets of SAE Match, are read as in that paper: each text is one example, cut at the
example's length. Notes say what is left out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy import ndarray

from saematch.errors import SaematchError, install
from saematch.files.foreign import parsing, plain_text, read_parquet, read_text, regular
from saematch.sae import shipped

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Long = Literal["split", "truncate"]  # what to do with a text that is longer than an example
SHIPPED = ("prose", "code", "reference")
_KINDS = (*SHIPPED, "texts")
GENERATED = "generated"  # by the model itself: saematch.models.write
BUFFER = 10_000  # rows of a streamed data set that are shuffled together
_CONVERTED = "refs/convert/parquet"  # where the hub keeps the output of former loading scripts
_KEYS = ("config", "split", "column", "revision", "by")
_FILES = (".txt", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Text:
    """A text and its source: `saematch:prose[17]`, `notes.txt`, `wikitext[3]`.

    The number is its row, or its place in the stream for a streamed data set.
    """

    source: str
    text: str


@dataclass(frozen=True)
class Texts:
    """Texts of one specification, none of them empty."""

    name: str
    texts: list[Text]
    notes: tuple[str, ...] = ()  # what was left out or changed, and how texts were chosen
    long: Long = "split"  # the default for long texts


@dataclass(frozen=True, eq=False)
class Examples:
    """Token ids of examples, as from `tokenise`, and notes on what was left out."""

    ids: list[ndarray]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Spec:
    where: str
    config: str | None = None
    split: str = "train"
    column: str = "text"
    revision: str | None = None
    by: str = "files"


# headings of WikiText are rows of their own
_PRESETS = {
    "openwebtext": (_Spec("hub:Skylion007/openwebtext"), None),
    "wikitext": (_Spec("hub:Salesforce/wikitext", config="wikitext-103-raw-v1"), r"\s*="),
    "github": (_Spec("hub:loubnabnl/github-small-near-dedup", column="content"), None),
}


def open_texts(spec: str, n: int | None = 100, seed: int = 0, *, streaming: bool = True) -> Texts:
    """`n` texts, drawn at random without replacement; the same ones for the same seed.

    Args:
        spec: what to read, as described at the top of this module.
        n: how many; None for all, and all if there are fewer. Texts that are empty or white space
            are skipped. Texts keep the order in which they are stored.
        seed: seed of the random choice.
        streaming: read data sets from the hub row by row, starting at a random file, and shuffle
            them in a buffer of 10,000 rows, so that only what is needed is fetched; a note says so.
            False fetches the whole data set, and draws from all of it.

    Raises:
        SaematchError: the name or column does not exist, a file cannot be read, or a data set
            cannot be fetched.
    """
    if n is not None and n < 1:
        raise SaematchError(f"n={n}: give how many texts to take, at least 1")
    parsed, skip = _PRESETS.get(spec) or (_parsed(spec), None)
    long: Long = "truncate" if spec in _PRESETS or spec.startswith(shipped.PREFIX) else "split"
    if parsed.where.startswith("hub:"):
        texts, notes = _from_hub(spec, parsed, skip, n, seed, streaming)
    else:
        every = [text for text in _local(parsed) if text.text.strip()]
        texts, notes = _drawn(every, n, seed), []
        if len(texts) < len(every):
            notes.append(f"{spec}: {len(texts):,} of {len(every):,} texts, drawn at random")
    if not texts:
        raise SaematchError(f"{spec}: no text in it but white space")
    whole = [Text(text.source, plain_text(text.text)) for text in texts]
    if broken := sum(text != other for text, other in zip(texts, whole, strict=True)):
        notes.append(f"{spec}: {broken:,} texts hold half a surrogate pair, read as U+FFFD")
    return Texts(spec, whole, tuple(notes), long)


def examples_of(
    texts: Texts,
    tokenizer: PreTrainedTokenizerBase,
    length: int = 1024,
    limit: int | None = None,
    *,
    n: int | None = None,
    seed: int = 0,
    long: Long | None = None,
    least: int = 1,
) -> Examples:
    """Examples of some texts, and notes on everything left out, with its number of tokens.

    Args:
        texts: as from `open_texts`.
        tokenizer: the model's.
        length: as in `tokenise`.
        limit: as in `tokenise`.
        n: the most examples; if there are more, n are drawn at random and keep their order.
        seed: seed of that choice.
        long: as in `tokenise`.
        least: the fewest tokens of an example; shorter ones are left out.
    """
    long, most = long or texts.long, _most(tokenizer, length, limit)
    every = _tokens(texts.texts, tokenizer)
    cut = [_cut(ids, head_of(tokenizer), most, long) for ids in every]
    room = most - len(head_of(tokenizer))
    split, notes = [len(ids) - room for ids in every if len(ids) > room], [*texts.notes]
    found = [example for some in cut for example in some]
    if split and long == "truncate":
        notes.append(
            f"{texts.name}: {len(split):,} of {len(every):,} texts are longer than an example of "
            f"{most:,} tokens, and are cut there: {sum(split):,} tokens are left out (--long split "
            "reads all)"
        )
    elif split:
        many = sum(len(some) for ids, some in zip(every, cut, strict=True) if len(ids) > room)
        notes.append(
            f"{texts.name}: {len(split):,} of {len(every):,} texts are longer than an example of "
            f"{most:,} tokens, and are split into {many:,} (--long truncate keeps the first)"
        )
    enough = [example for example in found if len(example) >= least]
    if len(enough) < len(found):
        notes.append(
            f"{texts.name}: {len(found) - len(enough):,} examples of less than {least} tokens are "
            "left out"
        )
    kept = _drawn(enough, n, seed)
    if len(kept) < len(enough):
        lost = sum(map(len, enough)) - sum(map(len, kept))
        notes.append(
            f"{texts.name}: {len(kept):,} of {len(enough):,} examples, drawn at random: {lost:,} "
            "tokens are left out (--examples takes more)"
        )
    return Examples(kept, tuple(notes))


def tokenise(
    texts: Texts | Sequence[Text | str],
    tokenizer: PreTrainedTokenizerBase,
    length: int = 1024,
    limit: int | None = None,
    *,
    long: Long | None = None,
) -> list[ndarray]:
    """Token ids (int64) of texts, as examples; texts without a token give none.

    Each example begins with the tokenizer's BOS, or its CLS if it has no BOS, exactly once, whether
    the tokenizer would add it or not; nothing else is added. If the tokenizer has neither, an
    example begins with the text's own first token or, when a text is split, with the last token of
    the previous example. In either case the first token of an example never counts, because models
    treat it unlike any other. Words of a text that look like special tokens (`<|endoftext|>`) are
    split like any other.

    Args:
        texts: what to split into tokens.
        tokenizer: the model's.
        length: the most tokens of an example, the first one included.
        limit: the number of positions that the model has; the tokenizer's own limit applies as
            well.
        long: a longer text becomes several examples ("split"), or one from its beginning
            ("truncate"). By default `Texts.long`, or "split" for other texts.
    """
    most = _most(tokenizer, length, limit)
    many = texts.texts if isinstance(texts, Texts) else texts
    long = long or (texts.long if isinstance(texts, Texts) else "split")
    head = head_of(tokenizer)
    return [part for ids in _tokens(many, tokenizer) for part in _cut(ids, head, most, long)]


def _most(tokenizer: PreTrainedTokenizerBase, length: int, limit: int | None) -> int:
    """The most tokens of an example, the first one included."""
    if length < 2:
        raise SaematchError(f"length={length}: an example needs two tokens, as the first is BOS")
    return max(2, min(length, limit or length, tokenizer.model_max_length or length))


def _tokens(texts: Sequence[Text | str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    return [
        tokenizer(
            plain_text(text.text if isinstance(text, Text) else text),
            add_special_tokens=False,
            split_special_tokens=True,
            verbose=False,  # it is cut later, from the right whatever the tokenizer's habit
        )["input_ids"]
        for text in texts
    ]


def _cut(ids: list[int], head: list[int], most: int, long: Long) -> list[ndarray]:
    """The examples of one text."""
    room = most - len(head)
    # without BOS, an example starts with a token of the one before, which therefore does not count
    step = room if head else room - 1
    starts = range(0, max(1, len(ids) + step - room), step) if long == "split" else [0]
    parts = [ids[start : start + room] for start in starts]
    return [np.array([*head, *part], dtype=np.int64) for part in parts if part]


def head_of(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What `tokenise` puts before each text: BOS, or else CLS, or else nothing."""
    first: Any = tokenizer.bos_token_id
    first = tokenizer.cls_token_id if first is None else first
    return [] if first is None else [first]


def digest(examples: Sequence[ndarray]) -> str:
    """A digest that identifies a list of examples by their token ids."""
    found = hashlib.sha256()
    for ids in examples:
        found.update(f"{len(ids)}\n".encode())
        found.update(np.asarray(ids, dtype="<i8").tobytes())
    return f"sha256:{found.hexdigest()}"


def _parsed(spec: str) -> _Spec:
    where, found = spec, {}
    while option := re.fullmatch(rf"(.+),({'|'.join(_KEYS)})=([^,]*)", where, flags=re.S):
        where, found[option[2]] = option[1], option[3]
    if where.startswith("hub:") and "@" in where:
        where, found["revision"] = where.split("@", 1)
    if found.get("by", "files") not in ("files", "paragraphs"):
        raise SaematchError(f"{spec}: by={found['by']}; a .txt is read by files or by paragraphs")
    return _Spec(where, **found)


def _drawn(texts: list[Any], n: int | None, seed: int) -> list[Any]:
    if n is None or n >= len(texts):
        return texts
    chosen = np.random.default_rng(seed).choice(len(texts), n, replace=False)
    return [texts[i] for i in sorted(chosen)]


def _local(spec: _Spec) -> Iterator[Text]:
    if spec.where.startswith(shipped.PREFIX):
        yield from _shipped(spec.where)
        return
    path = Path(spec.where).expanduser()
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in _FILES and p.is_file())
        if not files:
            raise SaematchError(f"{path}: no {', '.join(_FILES)} file in this folder")
        for file in files:
            yield from _rows(file, str(file.relative_to(path)), spec)
        return
    if spec.where == GENERATED and not path.is_file():
        raise SaematchError(
            f"{GENERATED} is text that a model makes: saematch.models.write(model, examples)"
        )
    if not path.is_file():
        named = (*_PRESETS, *(shipped.PREFIX + kind for kind in _KINDS), GENERATED)
        raise SaematchError(
            f"{spec.where}: no such file or folder, nor one of {', '.join(named)}; a data set on "
            f"the Hugging Face hub is named hub:{spec.where}"
        )
    if path.suffix not in _FILES:
        raise SaematchError(f"{path}: texts are read from {', '.join(_FILES)} files")
    yield from _rows(path, path.name, spec)


def _shipped(name: str) -> Iterator[Text]:
    kind = name.removeprefix(shipped.PREFIX)
    if kind not in _KINDS:
        raise SaematchError(
            f"saematch ships no texts {name!r}; it ships "
            + ", ".join(shipped.PREFIX + kind for kind in _KINDS)
        )
    for one in SHIPPED if kind == "texts" else (kind,):
        path = shipped.folder() / "texts" / f"{one}.jsonl"
        yield from _rows(path, f"{shipped.PREFIX}{one}", _Spec(str(path)))


def _rows(path: Path, source: str, spec: _Spec) -> Iterator[Text]:
    """The texts of one file, numbered by their place in it."""
    if path.suffix == ".txt" and spec.by == "files":
        yield Text(source, read_text(path))
        return
    match path.suffix:
        case ".txt":
            found: Iterable[Any] = re.split(r"\n\s*\n", read_text(path))
        case ".jsonl":
            found = _json_lines(path, spec.column)
        case _:
            found = _parquet(path, spec.column)
    for i, text in enumerate(found):
        if not isinstance(text, str | None):
            raise SaematchError(
                f"{path}, row {i}: {spec.column} holds {type(text).__name__}, expected text"
            )
        yield Text(f"{source}[{i}]", text or "")


def _json_lines(path: Path, column: str) -> Iterator[Any]:
    for i, line in enumerate(filter(str.strip, read_text(path).split("\n"))):
        with parsing(f"{path}, row {i}", say="not JSON"):
            row = json.loads(line)
        yield _column(row if isinstance(row, dict) else {}, column, path)


def _parquet(path: Path, column: str) -> list[Any]:
    import pyarrow.parquet as pq

    regular(path)
    with parsing(path, "a Parquet table"):
        names = pq.read_schema(path).names
    _column(dict.fromkeys(names), column, path)
    return read_parquet(path, [column])[column].to_list()


def _column(row: dict[str, Any], column: str, where: object) -> Any:
    if column not in row:
        raise SaematchError(
            f"{where}: no column {column!r}; it has {', '.join(row) or 'none'}: name one with "
            ",column="
        )
    return row[column]


def _from_hub(
    name: str, spec: _Spec, skip: str | None, n: int | None, seed: int, streaming: bool
) -> tuple[list[Text], list[str]]:
    rows, notes = _loaded(spec, streaming)
    if streaming and n is not None:
        rows = rows.shuffle(seed=seed, buffer_size=BUFFER)
        notes.append(
            f"{name}: drawn from a stream shuffled {BUFFER:,} rows at a time, not from all"
        )
    numbered = enumerate(rows)
    if not streaming:
        order = np.random.default_rng(seed).permutation(len(rows)) if n else range(len(rows))
        numbered = ((i, rows[int(i)]) for i in order)
    texts = (
        (i, Text(f"{name}[{i}]", text))
        for i, row in numbered
        if (text := _column(row, spec.column, name) or "").strip()
        and not (skip and re.match(skip, text))
    )
    with parsing(name, say="the data set could not be fetched"):
        found = sorted(islice(texts, n), key=lambda pair: pair[0])
    return [text for _, text in found], notes


def _loaded(spec: _Spec, streaming: bool) -> tuple[Any, list[str]]:
    """The rows of a data set, and notes on them."""
    try:
        import datasets
    except ImportError as error:
        raise SaematchError(
            f"data sets from the Hugging Face hub need datasets: {install('activations')}; or give "
            "a local file"
        ) from error
    name = spec.where.removeprefix("hub:")
    wanted = {"split": spec.split, "streaming": streaming}
    where = f"{name} (config {spec.config}, split {spec.split})"
    with parsing(where, say="cannot be opened on the Hugging Face hub"):
        try:
            return datasets.load_dataset(name, spec.config, revision=spec.revision, **wanted), []
        except RuntimeError as error:
            if "scripts are no longer supported" not in str(error) or spec.revision:
                raise
            rows = datasets.load_dataset(name, data_dir=spec.config, revision=_CONVERTED, **wanted)
            note = f"{name}: read from {_CONVERTED}, of large data sets the first 5 GB"
            return rows, [note]
