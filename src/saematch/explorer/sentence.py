"""What fires on a sentence: features of every SAE of a run, token by token, with their tracks."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from torch import Tensor

from saematch.circuits.making import prompt_tokens, token_texts
from saematch.errors import RunError, SaematchError
from saematch.explorer.nodes import Nodes
from saematch.explorer.places import MADE
from saematch.files.foreign import plain_text, read_json, reason
from saematch.models.hook_points import trunk_of
from saematch.models.language_model import LanguageModel
from saematch.models.texts import head_of
from saematch.numerics import hardware
from saematch.progress import log
from saematch.runs.run import Run
from saematch.sae.sae import SAE

TOKENS = 64  # that are read of a sentence at most, BOS included
STRONGEST = 32  # features of an SAE that are told at a token
SECONDS = 60.0  # that the model may take for one answer
# as an export has them: one row per sentence, and one per feature that fires on one of its tokens
SENTENCES, FIRING = "sentences", "sentence_features"
FIRES = {"token": pl.Int32, "node": pl.Int32, "activation": pl.Float32}
KNOWN = {
    "node": pl.Int32,
    "max_activation": pl.Float32,
    "frequency": pl.Float32,
    "label": pl.String,
    "track": pl.Int32,
    "length": pl.Int32,
}


class OvertimeError(SaematchError):
    """The model took longer than it may."""


@dataclass(frozen=True, eq=False)
class Sentence:
    """A text as a model read it, and the features that fire on each of its tokens."""

    text: str
    model: str
    tokens: tuple[str, ...]  # as they were read; of BOS its name
    bos: bool  # whether the first of them was put before the text; its features never count
    # how many features fire, by SAE in order of depth, by token
    active: tuple[tuple[int, ...], ...]
    most: int  # no more of them than this are in `firing`, the strongest
    firing: pl.DataFrame  # `FIRES`: token by token, SAE by SAE, the strongest first
    known: pl.DataFrame  # `KNOWN`: one row per feature of `firing`, in order of its number
    seconds: float  # that it took

    def values(self) -> dict[str, Any]:
        """The same as plain values, tables by column."""
        return {
            "text": self.text,
            "model": self.model,
            "tokens": self.tokens,
            "bos": self.bos,
            "active": self.active,
            "most": self.most,
            "firing": self.firing.to_dict(as_series=False),
            "features": self.known.to_dict(as_series=False),
            "seconds": self.seconds,
        }


class SentenceReader:
    """Reads sentences with a model and the SAEs of a run.

    SAEs stay in memory, as many as fit `hardware.MEMORY_SHARE` of what is free; the others are
    loaded anew for each sentence. All are loaded once at the start, so that what does not fit the
    model is known before anything is served.

    Args:
        run: the run.
        model: the model of its SAEs.
        load: an SAE of the run by its name.
        begun: called with the name of an SAE, how many are loaded, and how many there are.

    Raises:
        RunError: the run was made of an SAE in memory, or one is no longer where it was.
        SaematchError: an SAE of another model or of no known hook point.
    """

    def __init__(
        self,
        run: Run,
        model: LanguageModel,
        load: Callable[[str], SAE],
        begun: Callable[[str, int, int], None] = lambda name, done, total: None,
    ) -> None:
        self.run, self.model = run, model
        self.nodes = Nodes.of(run)
        self.saes = _Kept(load)
        self.hooks: dict[str, str] = {}
        names = self.nodes.layers.names
        for done, name in enumerate(names):
            begun(name, done, len(names))
            self.hooks |= model.hooks_of({name: self.saes[name]})
        if len(self.saes) < len(names):
            log.warning(
                f"{len(self.saes)} of {len(names)} SAEs fit into memory "
                f"({self.saes.bytes / 1e9:.1f} GB): the others are loaded anew for each sentence"
            )

    def read(
        self,
        text: str,
        *,
        tokens: int = TOKENS,
        most: int = STRONGEST,
        seconds: float = SECONDS,
    ) -> Sentence:
        """The features that fire on a text.

        Activations are those of `SAE.encode` of the model's hidden states. The first token, BOS
        where the model has one, is read but not counted, as in stores of activations.

        Args:
            text: halves of surrogate pairs in it become U+FFFD; else it is read as it is.
            tokens: more are refused.
            most: features of an SAE that are told at a token, the strongest.
            seconds: that it may take.

        Raises:
            OvertimeError: it took longer.
            SaematchError: a text of no token but BOS, or of too many.
        """
        begin = time.perf_counter()
        text = plain_text(text)
        ids = self.ids_of(text, tokens)
        with within(self.model, seconds) as check:
            fires, active = [], []
            found = self.model.run(ids[None], [*dict.fromkeys(self.hooks.values())])
            for name, hook in self.hooks.items():
                check()
                sae = self.saes[name]
                x = found[hook][0, 1:]
                f = sae.encode(x.to(sae.device, sae.dtype))
                active.append((0, *(f > 0).sum(1).tolist()))
                fires.append(_strongest(f, most, self.nodes.starts[name]))
        firing = pl.concat(fires).sort("token", maintain_order=True)
        return Sentence(
            text=text,
            model=shown_name(self.model),
            tokens=tuple(token_texts(self.model.tokenizer, ids)),
            bos=bool(head_of(self.model.tokenizer)),
            active=tuple(active),
            most=most,
            firing=firing,
            known=self._known.filter(pl.col("node").is_in(firing["node"].unique().implode())),
            seconds=time.perf_counter() - begin,
        )

    def ids_of(self, text: str, most: int = TOKENS) -> Tensor:
        """The token ids of a text, BOS first; raises SaematchError where there are too many."""
        if not text:
            raise SaematchError("there is no text: type a sentence")
        ids = prompt_tokens(text, self.model)
        if len(ids) > most:
            raise SaematchError(
                f"the text has {len(ids):,} tokens, and {most} are read at most: shorten it"
            )
        if len(ids) < 2:
            raise SaematchError("the text is a single token, and the first never counts: add one")
        return ids

    @cached_property
    def _known(self) -> pl.DataFrame:
        """`KNOWN` of all features of the run."""
        nodes = self.nodes
        tracks = nodes.tracks.filter(mode=nodes.mode or "").filter(pl.col("length") > 1)
        found = nodes.features.join(
            tracks.select("node", "track", "length"), on="node", how="left", maintain_order="left"
        )
        return found.select(pl.col(name).cast(kind) for name, kind in KNOWN.items())


def shown_name(model: LanguageModel) -> str:
    """A model's name for the page and its export: of a folder the last part, not where it lies."""
    folder = Path(model.name).expanduser()
    return folder.resolve().name if folder.exists() else model.name


@contextmanager
def within(model: LanguageModel, seconds: float) -> Iterator[Callable[[], None]]:
    """Within the block the model begins no pass after so many seconds; gives what checks the time.

    Raises:
        OvertimeError: where it would, or the check is called later.
    """
    end = time.monotonic() + seconds

    def check(*_: object) -> None:
        if time.monotonic() > end:
            raise OvertimeError(
                f"this took longer than {seconds:g} seconds and was given up: shorten the text"
            )

    hook = trunk_of(model.model).register_forward_pre_hook(check)
    try:
        yield check
    finally:
        hook.remove()


@contextmanager
def recorded(sentences: Sequence[Sentence], made: Path) -> Iterator[Path | None]:
    """A folder of sentences, for the block: files that come before those in `made`.

    They are not kept with the other tables in the user's cache: an export has no sentence but those
    that it is given.

    Args:
        sentences: what was read; of none there is no folder.
        made: where the index of the page's tables is.

    Raises:
        RunError: the folder cannot be written.
    """
    if not sentences:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="saematch-sentences-") as folder:
        try:
            _write(sentences, made, Path(folder))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise RunError(f"{folder} cannot be written: {reason(error)}") from error
        yield Path(folder)


def _write(sentences: Sequence[Sentence], made: Path, folder: Path) -> None:
    texts, fires = [], []
    rows = 0
    for sentence in sentences:
        its = sentence.firing.join(sentence.known, on="node", how="left", maintain_order="left")
        texts.append(
            {
                "text": sentence.text,
                "model": sentence.model,
                "tokens": [*sentence.tokens],
                "bos": sentence.bos,
                "active": [count for by_token in sentence.active for count in by_token],
                "most": sentence.most,
                "row": rows,
                "rows": len(its),
            }
        )
        fires.append(its)
        rows += len(its)
    pl.DataFrame(texts).write_parquet(folder / f"{SENTENCES}.parquet")
    pl.concat(fires).write_parquet(folder / f"{FIRING}.parquet", row_group_size=2048)
    index = read_json(made / "index.json")
    for name in (SENTENCES, FIRING):
        index["tables"][name] = f"{MADE}/{name}.parquet"
    text = json.dumps(index, ensure_ascii=False, allow_nan=False, indent=1)
    (folder / "index.json").write_text(text + "\n", encoding="utf-8")


def _strongest(f: Tensor, most: int, start: int) -> pl.DataFrame:
    """`FIRES` of an SAE: of `f`, the activations at tokens 1 on, the largest."""
    top = f.float().topk(min(most, f.shape[1]), dim=1)
    token, rank = (top.values > 0).nonzero(as_tuple=True)
    columns = {
        "token": token + 1,
        "node": top.indices[token, rank] + start,
        "activation": top.values[token, rank],
    }
    frame = pl.DataFrame({name: value.cpu().numpy() for name, value in columns.items()})
    return frame.select(pl.col(name).cast(kind) for name, kind in FIRES.items())


class _Kept:
    """SAEs by name: those that fit into memory stay there."""

    def __init__(self, load: Callable[[str], SAE]) -> None:
        self._load = load
        self._room = hardware.MEMORY_SHARE * hardware.available_memory()
        self._kept: dict[str, SAE] = {}
        self.bytes = 0

    def __getitem__(self, name: str) -> SAE:
        if name in self._kept:
            return self._kept[name]
        sae = self._load(name)
        size = sum(v.nbytes for v in vars(sae).values() if isinstance(v, Tensor))
        if self.bytes + size <= self._room:
            self._kept[name] = sae
            self.bytes += size
        return sae

    def __len__(self) -> int:
        return len(self._kept)
