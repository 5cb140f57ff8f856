"""Tables for those who have pandas, and what to type for those who do not."""

import polars as pl
import pytest

from saematch import SaematchError
from saematch.files.pandas import as_pandas
from saematch.matching.solving import match
from support.saes import make_sae

TABLE = pl.DataFrame({"feature": [0, 1], "target": [3, None]})


def test_a_matching_as_pandas():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    found = match(make_sae(seed=1), make_sae(seed=2), null="none")
    shown = found.to_pandas()
    assert isinstance(shown, pandas.DataFrame)
    assert shown["target"].tolist() == found.target.tolist()
    assert [*shown.columns] == found.to_polars().columns


def test_without_pandas_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("saematch.files.pandas.find_spec", lambda name: None)
    with pytest.raises(SaematchError, match="pip install pandas"):
        as_pandas(TABLE)
