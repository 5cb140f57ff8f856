"""Static embeddings of text: a vector per token, and of a text the mean of its tokens'.

The table is wordllama's (256 dimensions, 32,000 tokens, MIT), which lies inside its package;
nothing is downloaded, and the package itself is not imported: its `load` asks the hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from saematch.errors import SaematchError, install

FILES = "weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json"


def available() -> bool:
    """Whether the package is installed."""
    return find_spec("wordllama") is not None


def embed(texts: Sequence[str]) -> ndarray:
    """`(texts, 256)` float32 of unit norm; zeros for a text without tokens.

    Raises:
        SaematchError: the package is not installed, or lacks the two files.
    """
    table, tokenizer = _table()
    found = np.zeros((len(texts), table.shape[1]), np.float32)
    for row, encoded in enumerate(tokenizer.encode_batch([*texts], add_special_tokens=False)):
        if encoded.ids:
            found[row] = table[encoded.ids].mean(axis=0)
    norm = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.where(norm > 0, norm, 1)


@cache
def _table() -> tuple[ndarray, Any]:
    from safetensors.numpy import load_file

    say = f"install it: {install('judge')}"
    package = find_spec("wordllama")
    if package is None or package.origin is None:
        raise SaematchError(f"embeddings of contexts come with the package wordllama; {say}")
    weights, config = (Path(package.origin).parent / name for name in FILES)
    if not weights.is_file() or not config.is_file():
        raise SaematchError(f"{weights.parents[1]} lacks {' or '.join(FILES)}; {say}")
    from tokenizers import Tokenizer

    (table,) = load_file(weights).values()
    tokenizer = Tokenizer.from_file(str(config))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return table.astype(np.float32), tokenizer
