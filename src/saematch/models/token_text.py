"""The text of single tokens, such that the joined pieces of a text are the text again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from saematch.models.texts import head_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BROKEN = "\N{REPLACEMENT CHARACTER}"  # stands for bytes that are not a whole character
_TOGETHER = 12  # tokens that are tried together as the bytes of a few characters


class Pieces:
    """What each token adds to a text when its tokenizer decodes it after another token.

    Decoded alone, a SentencePiece token loses the space before it (`▁the`), and a WordPiece token
    does not show whether there is one (`the`, `##ing`). Where several tokens make up one character,
    as byte-level tokens do, the last of them has it and the others are empty.

    What a tokenizer drops (capitals, double spaces) is missing from the pieces too.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        before, broken = (
            tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("a", f"a{_BROKEN}")
        )
        self._before = before[-1:]
        self._broken = broken[len(before) :]  # that sign itself, where a text has it
        self._headed = bool(head_of(tokenizer))
        self._known: dict[int, str] = {}

    def __call__(self, ids: Sequence[int], start: bool = False) -> list[str]:
        """The piece of each token; with `start`, the first token is the first of its text."""
        ids = [int(i) for i in ids]
        for i in {*ids} - self._known.keys():
            self._known[i] = self._behind([i])
        found = [self._known[i] for i in ids]
        if start and ids:
            found[0] = self._decoded(ids[:1])
        for first, piece in enumerate(found):
            if _BROKEN in piece:
                self._mend(ids, found, first, start and first == 0)
        return found

    def of_example(self, ids: Sequence[int]) -> list[str]:
        """The pieces of the tokens of an example of `tokenise` that count: all but the first."""
        return self(ids, start=self._headed)

    def _mend(self, ids: list[int], found: list[str], first: int, start: bool) -> None:
        """Give the last of some tokens, from `first` on, the characters that they form together."""
        for last in range(first + 1, min(first + _TOGETHER, len(ids))):
            if _BROKEN not in found[last]:
                return
            some = ids[first : last + 1]
            text = self._decoded(some) if start else self._behind(some)
            if _BROKEN not in text or some == self._broken:
                found[first : last + 1] = [*[""] * (last - first), text]
                return

    def _behind(self, ids: list[int]) -> str:
        before, both = self._decoded(self._before), self._decoded([*self._before, *ids])
        return both[len(before) :] if both.startswith(before) else self._decoded(ids)

    def _decoded(self, ids: list[int]) -> str:
        found = self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        assert isinstance(found, str)  # of one list of ids
        return found
