"""Examples of about one length side by side, padded on the right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy import ndarray
from torch import Tensor


def groups(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Examples that are read together, longest first."""
    found: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        # the first of a group is the longest; the others are padded to its length
        if found and (len(found[-1]) + 1) * lengths[found[-1][0]] <= batch_tokens:
            found[-1].append(i)
        else:
            found.append([i])
    return found


def padded(examples: Sequence[ndarray]) -> tuple[Tensor, Tensor]:
    """Token ids `(batch, longest)`, padded on the right with 0, and the mask of tokens."""
    longest = max(len(e) for e in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    mask = torch.zeros(len(examples), longest, dtype=torch.bool)
    for row, example in enumerate(examples):
        ids[row, : len(example)] = torch.from_numpy(example)
        mask[row, : len(example)] = True
    return ids, mask
