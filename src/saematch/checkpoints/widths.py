# pyright: strict
"""How wide models are and how many features names promise, where no file is at hand to ask."""

from __future__ import annotations

import re

# dimensions of the residual stream, by the end of the model's name; longer names come first
_MODELS = {
    "gemma-2-2b": 2304,
    "gemma-2-9b": 3584,
    "gemma-2-27b": 4608,
    "gemma-2b": 2048,
    "gemma-3-270m": 640,
    "gemma-3-1b": 1152,
    "gemma-3-4b": 2560,
    "gemma-3-12b": 3840,
    "gemma-3-27b": 5376,
    "gpt2-small": 768,
    "gpt-oss-20b": 2880,
    "llama-3.3-70b": 8192,
    "llama-3.1-8b": 4096,
    "llama-3-8b": 4096,
    "deepseek-r1-distill-llama-8b": 4096,
    "mistral-7b": 4096,
    "pythia-70m": 512,
    "qwen2.5-7b": 3584,
    "qwen3-0.6b": 1024,
    "qwen3-1.7b": 2048,
    "qwen3-4b": 2560,
    "qwen3-8b": 4096,
    "qwen3-14b": 5120,
    "qwen3-30b-a3b": 2048,
    "qwen3.5-27b": 5120,
}
# what attention's heads give together, before W_O, which is where Gemma Scope's SAEs of it read
_HEADS = {
    "gemma-2-2b": 2048,
    "gemma-2-9b": 4096,
    "gemma-3-270m": 1024,
    "gemma-3-1b": 1024,
    "gemma-3-4b": 2048,
    "gemma-3-12b": 4096,
    "gemma-3-27b": 4096,
}
_FEATURES = (
    re.compile(r"(?:width|w)[_-]?2pow(?P<power>\d+)"),
    re.compile(r"(?:^|[/_-])(?:width_|w)(?P<count>\d+)(?P<unit>k|m)(?=$|[/_.-])"),
    # what counts millions may be the model, or tokens
    re.compile(r"(?:^|[/_-])(?P<count>\d+)(?P<unit>k)(?=$|[/_.-])"),
    re.compile(r"(?:^|[/_-])(?P<times>\d+)x(?=$|[/_.-])"),
)


def width_of(model: str, heads: bool = False) -> int | None:
    """The dimensions of a model's residual stream, or of its attention heads together."""
    name = model.lower().rsplit("/", maxsplit=1)[-1].removeprefix("meta-")
    known = _HEADS if heads else _MODELS
    found = [one for one in known if name == one or name.startswith(f"{one}-")]
    return known[max(found, key=len)] if found else None


def features_in(text: str, d_in: int) -> int | None:
    """How many features the words of a name promise: `width_262k`, `2pow14`, `8x`, `w80k`."""
    for pattern in _FEATURES:
        if (found := pattern.search(text.lower())) is not None:
            break
    else:
        return None
    parts = found.groupdict()
    if "power" in parts:
        return 2 ** int(parts["power"]) if int(parts["power"]) < 30 else None
    if "times" in parts:
        return int(parts["times"]) * d_in
    count, unit = int(parts["count"]), {"k": 1, "m": 2}[parts["unit"]]
    # 262k is 2^18, 131k is 2^17, in thousands; 80k is 80 times 1,024
    power = next((2**p for p in range(30) if 2**p // 1000**unit == count), None)
    return power or count * 1024**unit


def in_short(features: int) -> str:
    """As names of suites write it: `262k (262,144)`; the number alone where they would not."""
    for unit in ("m", "k"):
        short = f"{features // (1000 ** {'k': 1, 'm': 2}[unit])}{unit}"
        if features_in(f"width_{short}", 1) == features:
            return f"{short} ({features:,})"
    return f"{features:,}"
