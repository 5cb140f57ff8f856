"""What the page shows of judgements beyond the run's own tables: votes of people, and intervals.

People vote after a run was explored, and its run.json does not change by that: these two tables are
made each time a run is explored or exported.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from saematch.errors import RunError
from saematch.files.atomic import whole
from saematch.files.foreign import reason
from saematch.judging.agreement import shares
from saematch.judging.experiment import VERDICTS, judged
from saematch.judging.votes import people
from saematch.runs.run import Run

VOTES, SHARES = "votes.parquet", "shares.parquet"
_BY = ["kind", "steps", "judge"]


def keep_judgements(run: Run, folder: Path) -> None:
    """Write both tables of a run that was judged; nothing of another, or beside an exported run.

    Args:
        run: the run.
        folder: of the page's tables.

    Raises:
        RunError: the run's judgements or votes cannot be read, or these tables not be written.
    """
    if run.section("judging") is None or folder.resolve().is_relative_to(run.path.resolve()):
        return
    found = {VOTES: people(run).select(*VERDICTS), SHARES: shares(judged(run), _BY)}
    try:
        for name, frame in found.items():
            with whole(folder / name) as partial:
                frame.write_parquet(partial)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise RunError(f"{folder} cannot be written: {reason(error)}") from error
