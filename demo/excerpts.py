"""Excerpts of held-out text, which ship with the small model for evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from demo.model import KINDS, documents


def write_texts(corpus: Path, folder: Path, examples: int = 120, characters: int = 1500) -> None:
    """Excerpts of held-out documents as `<kind>.jsonl`: `{"text", "source"}`, sources in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        by_source: dict[str, list[str]] = {}
        for document in documents(corpus, kind, "held_out"):
            found = by_source.setdefault(document["source"], [])
            found += _excerpts(document["text"], characters)
        rng = np.random.default_rng(0)
        for texts in by_source.values():
            rng.shuffle(texts)
        chosen = []
        while len(chosen) < examples and any(by_source.values()):
            for source, texts in by_source.items():
                if texts and len(chosen) < examples:
                    chosen.append({"text": texts.pop(), "source": source})
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen)
        (folder / f"{kind}.jsonl").write_text(lines)


def _excerpts(text: str, characters: int, most: int = 4) -> list[str]:
    """Up to `most` excerpts apart from one another, from a line's start to a word's end."""
    found, start = [], 0
    while len(found) < most and len(text) - start > 0.9 * characters:
        found.append(text[start : start + characters].rsplit(maxsplit=1)[0])
        start = text.find("\n", start + characters) + 1 or len(text)
    return found
