"""Neuronpedia: what an SAE is called there, and the labels of single features.

Single features come from its API, `GET /api/feature/MODEL/SOURCE/INDEX`, which needs no key. Its
own client package is not used: it refuses to ask without a key, prints, and waits for ever.
Whole SAEs come from its public files: see `bulk.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from saematch.errors import SaematchError
from saematch.files.foreign import one_line, parse_json, parsing
from saematch.labels.fetching import MissingError, fetch

SITE = "https://www.neuronpedia.org"
SERVER = "SAEMATCH_NEURONPEDIA"  # the variable that names another server of the API
LONGEST = 10_000  # characters of a label
_ANSWER = 1 << 26  # bytes: it has all of a feature's contexts
_PART = re.compile(r"[A-Za-z0-9][\w.+-]{0,199}", re.ASCII)


class Label(NamedTuple):
    """What a feature is said to mean, and by whom."""

    text: str
    source: str


@dataclass(frozen=True)
class NeuronpediaId:
    """What an SAE is called on Neuronpedia."""

    model: str  # gemma-2-2b
    source: str  # 12-gemmascope-res-16k

    @classmethod
    def parse(cls, text: str) -> NeuronpediaId:
        """The id in `MODEL/SOURCE`.

        Raises:
            SaematchError: it has other parts, or characters that no id has.
        """
        parts = text.split("/")
        if len(parts) != 2 or not all(map(_PART.fullmatch, parts)):
            raise SaematchError(
                f"{one_line(text[:200])!r} is no SAE of Neuronpedia: expected MODEL/SOURCE, such "
                "as gemma-2-2b/12-gemmascope-res-16k"
            )
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.model}/{self.source}"

    def page(self, feature: int) -> str:
        """The address of a feature's page."""
        return f"{SITE}/{self}/{feature}"


def labels_of_feature(of: NeuronpediaId, feature: int) -> list[Label]:
    """The labels of one feature, by the API; none where Neuronpedia has none.

    The base address is `SITE`, or what the environment variable `SERVER` says.

    Raises:
        SaematchError: the server cannot be reached, refuses, or answers with something else.
    """
    base = (os.environ.get(SERVER) or SITE).rstrip("/")
    url = f"{base}/api/feature/{of}/{feature}"
    try:
        content = fetch(url, _ANSWER)
    except MissingError:
        return []
    with parsing(url, say="the answer is not JSON"):
        answer = parse_json(content.decode())
    if answer is None:
        return []
    rows = answer.get("explanations") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise SaematchError(f"{url}: expected a feature with a list of explanations")
    index = answer.get("index", feature)
    if str(index) != str(feature):
        raise SaematchError(f"{url}: the answer is about feature {one_line(str(index))[:99]}")
    return [found for row in rows if (found := label_of(row, url)) is not None]


def label_of(row: object, where: str) -> Label | None:
    """The label in one explanation as Neuronpedia has it; None where its text is empty.

    Raises:
        SaematchError: `where` it stands, and what is wrong with it.
    """
    if not isinstance(row, Mapping) or "description" not in row:
        raise SaematchError(f"{where}: no description; expected a label of Neuronpedia")
    text = row["description"]
    if text is None or text == "":
        return None
    made_by = [row.get(key) for key in ("explanationModelName", "typeName")]
    return checked_label(text, ", ".join(map(_word, filter(None, made_by))), where)


def checked_label(text: Any, made_by: str, where: str) -> Label | None:
    """A label of Neuronpedia, without spaces around it; None where nothing is left."""
    text = checked_text(text, where)
    source = f"Neuronpedia: {made_by}" if made_by else "Neuronpedia"
    return Label(text, source) if text else None


def checked_text(text: object, where: str) -> str:
    """The text of a label, without spaces around it.

    Raises:
        SaematchError: it is no text, or longer than `LONGEST`.
    """
    if not isinstance(text, str):
        raise SaematchError(f"{where}: the label is {one_line(repr(text)[:80])}, expected text")
    if len(text) > LONGEST:
        raise SaematchError(
            f"{where}: a label of {len(text):,} characters, expected {LONGEST:,} at most"
        )
    return text.strip()


def feature_number(value: object, d_sae: int, where: str) -> int:
    """The index of a feature, a number or its digits.

    Raises:
        SaematchError: it is no whole number, or the SAE has no such feature.
    """
    told = f"{where}: feature {one_line(repr(value)[:80])}, expected a whole number"
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:19])
    if not isinstance(value, int) or isinstance(value, bool):
        raise SaematchError(told)
    if not 0 <= value < d_sae:
        raise SaematchError(
            f"{where}: feature {value:,}, but the SAE has 0 to {d_sae - 1:,}; are these the labels "
            "of another SAE?"
        )
    return value


def _word(value: object) -> str:
    return one_line(str(value))[:200]
