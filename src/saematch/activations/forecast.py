"""A forecast of the disk space of an activation store."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from saematch.errors import RunError
from saematch.sae.contexts import features_of
from saematch.sae.sae import SAE

ASSUMED_L0 = 100.0  # if the L0 is unknown
PER_ACTIVATION = 6.0  # bytes; 5.0 were measured at 1,536 features, and wider SAEs need more digits
PER_TOKEN = 8.0  # bytes of the table of tokens


@dataclass(frozen=True)
class Forecast:
    """Expected bytes on disk, and the grounds for them."""

    tokens: int
    sizes: dict[str, int]  # bytes by SAE, and of the table of tokens
    grounds: dict[str, str]  # by SAE, in words

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())

    def __str__(self) -> str:
        return f"{decimal(self.bytes)} for {self.tokens:,} tokens"


def forecast(saes: Mapping[str, SAE], tokens: int) -> Forecast:
    """The disk space of activations of some SAEs on `tokens` tokens, from their L0.

    The L0, the number of features active on a token, is the sum of the frequencies that come with
    the SAE, else the k of a top-k SAE, else stated in its name (`average_l0_82`), else 100.
    """
    sizes, grounds = {"tokens": int(PER_TOKEN * tokens)}, {}
    for name, sae in saes.items():
        l0, grounds[name] = _l0(sae)
        sizes[name] = int(PER_ACTIVATION * l0 * tokens)
    return Forecast(tokens, sizes, grounds)


def check_room(path: str | Path, needed: int) -> None:
    """Check that the disk has room for `needed` more bytes.

    Raises:
        RunError: it does not.
    """
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunError(
            f"{path}: about {decimal(needed)} are needed and {decimal(free)} are free; "
            "take fewer tokens or SAEs, or another disk"
        )


def _l0(sae: SAE) -> tuple[float, str]:
    if sae.frequency is not None:
        l0 = float(sae.frequency.double().sum())
        return l0, f"L0 {l0:.0f}, from the frequencies in its checkpoint"
    sidecar = features_of(sae)
    if sidecar is not None and sidecar.height:
        l0 = float(sidecar["frequency"].fill_nan(None).cast(float).sum())
        return l0, f"L0 {l0:.0f}, from its features.parquet"
    k = sae.conventions.k
    if k:
        return float(k), f"L0 {k}, its k"
    stated = re.search(r"(?:^|[^a-z])l0[_-](\d+)", sae.conventions.source, re.IGNORECASE)
    if stated:
        return float(stated[1]), f"L0 {stated[1]}, from its name"
    return ASSUMED_L0, f"L0 {ASSUMED_L0:.0f}, assumed: nothing tells it"
