"""Tables as pandas DataFrames, if pandas is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from saematch.errors import SaematchError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


def as_pandas(table: pl.DataFrame) -> pd.DataFrame:
    """The same table as a pandas DataFrame.

    Raises:
        SaematchError: pandas is not installed.
    """
    if find_spec("pandas") is None:
        raise SaematchError("to_pandas() needs pandas: pip install pandas, or take to_polars()")
    return table.to_pandas()
