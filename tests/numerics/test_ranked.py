"""Lists of partners: the same from tensors and from numpy arrays."""

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from saematch.numerics.ranked import Ranked

INDEX = [[4, 2], [1, -1], [-1, -1]]
SCORE = [[0.9, 0.5], [0.3, np.nan], [np.nan, np.nan]]
P_VALUE = [[1e-6, 0.2], [np.nan, np.nan], [np.nan, np.nan]]


@pytest.fixture(params=[torch.tensor, np.array], ids=["torch", "numpy"])
def ranked(request):
    array = request.param
    return Ranked(array(INDEX), array(SCORE), {"p_value": array(P_VALUE)})


def test_a_row_for_each_partner(ranked):
    expected = pl.DataFrame(
        {
            "feature": [0, 0, 1],
            "rank": [1, 2, 1],
            "target": [4, 2, 1],
            "value": [0.9, 0.5, 0.3],
            "p_value": [1e-6, 0.2, None],
        }
    )
    found = ranked.to_polars("target", score="value")
    assert_frame_equal(found, expected, check_dtypes=False, rel_tol=1e-6)
    assert ranked.shape == (3, 2)


def test_the_best_of_each_and_none_where_there_is_none(ranked):
    best = ranked.best()
    assert best.index.tolist() == [4, 1, -1]
    assert best.score.tolist()[:2] == pytest.approx([0.9, 0.3])
    assert np.isnan(best.p_value.tolist()[1:]).all()
    none = ranked.score[:, :0]
    empty = Ranked(ranked.index[:, :0], none, {"p_value": none})
    assert empty.best().index.tolist() == [-1, -1, -1]
    assert np.isnan(empty.best().score.tolist()).all()
    assert empty.to_polars("target").is_empty()


def test_a_table_gives_the_lists_back(ranked):
    again = Ranked.from_polars(ranked.to_polars("source"), "source", 3, ("p_value", "cosine"))
    np.testing.assert_array_equal(again.index, INDEX)
    np.testing.assert_allclose(again.score, SCORE, rtol=1e-6)
    np.testing.assert_allclose(again.p_value, P_VALUE, rtol=1e-6)
    assert np.isnan(again.more["cosine"]).all()
    assert again.to_torch().index.tolist() == INDEX
