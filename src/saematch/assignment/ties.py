"""One rule for features that are the same: the earlier row gets the earlier column.

Rows with the same vector, offset and cost are worth the same, and so are columns. Whatever an
assignment gives to them may be exchanged among them without changing its total or its proof: prices
of columns that are the same are equal wherever one of them is taken, as are the duals of rows.
"""

from __future__ import annotations

import hashlib

import numpy as np

FEW = 8  # numbers that tell almost all rows apart


def classes(x: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """For each row of `x` the first row that is the same, with the same offset.

    `x` may be larger than memory: of most rows only a few numbers are read, and the others are
    told apart by hashes of 128 bits, one row at a time.
    """
    first = np.arange(len(x))
    few = np.concatenate([x[:, :FEW], offset[:, None]], axis=1, dtype=np.float64)
    few = np.ascontiguousarray(few + 0.0)  # no -0.0
    _, place, counts = _distinct(few.view(f"V{few.itemsize * few.shape[1]}")[:, 0])
    suspects = np.flatnonzero(counts[place] > 1)
    hashes = np.zeros(len(suspects), "V16")
    for which, i in enumerate(suspects):
        whole = (x[i] + 0.0).tobytes() + (offset[i] + 0.0).tobytes()
        hashes[which] = hashlib.blake2b(whole, digest_size=16).digest()
    start, place, _ = _distinct(hashes)
    first[suspects] = suspects[start[place]]
    return first


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the distinct values where each is first; which each row has; how many have each."""
    return np.unique(rows, return_index=True, return_inverse=True, return_counts=True)[1:]


def in_order(target: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The same pairs of classes, each row in turn with the first column that is left for its class.

    `rows` and `columns` are `classes`; rows without a column come last in their class.
    """
    paired = np.flatnonzero(target >= 0)
    alike = np.bincount(rows, minlength=len(rows)) > 1
    some = alike[rows]
    twin = np.bincount(columns, minlength=len(columns)) > 1
    some[paired] |= twin[columns[target[paired]]]
    out = target.copy()
    out[some] = -1
    # how many columns of each class the rows of each class have, and which they may be
    shares: dict[int, dict[int, int]] = {}
    for i in np.flatnonzero(some & (target >= 0)):
        share = shares.setdefault(int(rows[i]), {})
        kind = int(columns[target[i]])
        share[kind] = share.get(kind, 0) + 1
    order = np.argsort(columns, kind="stable")
    grouped = columns[order]
    left = {
        kind: iter(order[slice(*np.searchsorted(grouped, (kind, kind + 1)))].tolist())
        for share in shares.values()
        for kind in share
    }
    ahead = {kind: next(left[kind]) for kind in left}
    for i in np.flatnonzero(some):
        share = shares.get(int(rows[i]))
        if not share:
            continue
        kind = min(share, key=ahead.__getitem__)
        out[i], ahead[kind] = ahead[kind], next(left[kind], -1)
        share[kind] -= 1
        if share[kind] == 0:
            del share[kind]
    return out
