"""What tells two sets of options apart, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def option_differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The options that differ, with both values; of another method its name alone."""
    old, new = dict(_flat(there)), dict(_flat(here))
    keys = sorted({*old, *new})
    if there.get("method") != here.get("method"):
        keys = ["method"]  # its options follow from it
    return [
        f"{key} is {word(old.get(key))} there, {word(new.get(key))} here"
        for key in keys
        if old.get(key) != new.get(key)
    ]


def word(value: Any) -> str:
    """A value for a message."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "not set" if value is None else str(value)


def _flat(options: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Options within options by both names, so that only the one that differs is named."""
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}: ")
        else:
            yield before + key, value
