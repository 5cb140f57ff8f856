"""Shares of features that pass through, counted by hand."""

import numpy as np
import polars as pl
import pytest

from saematch.errors import SaematchError
from saematch.layers.passing import passing_curve


def test_shares_counted_by_hand():
    forward = np.array([0.0, 0.4, 0.5, 1.0, np.nan])  # the last one never fires
    backward = np.array([0.5, 0.9])
    found = passing_curve(forward, backward, [0.9, 0.5])
    wanted = pl.DataFrame(
        {
            "cutoff": [0.5, 0.9],
            "features_a": [4, 4],
            "passing_forward": [0.5, 0.25],  # at the cut-off is passing
            "disappearing": [0.5, 0.75],
            "features_b": [2, 2],
            "passing_backward": [1.0, 0.5],
            "appearing": [0.0, 0.5],
        }
    )
    assert found.equals(wanted)


def test_features_that_never_fire_leave_no_shares():
    found = passing_curve(np.full(3, np.nan), np.array([0.7]), [0.5])
    assert found.row(0) == (0.5, 0, None, None, 1, 1.0, 0.0)
    with pytest.raises(SaematchError, match="at least one number"):
        passing_curve(np.ones(3), np.ones(3), [])
