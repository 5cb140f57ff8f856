"""Labels kept in a run: `labels/NAME.parquet`, the one to show of each feature first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from msgspec import UNSET
from msgspec.structs import replace

from saematch.errors import RunError
from saematch.files.records import plain, read_record
from saematch.labels.neuronpedia import NeuronpediaId
from saematch.runs.records import LabelFigures, Labels, SaeRecord
from saematch.runs.run import Run

FOLDER = "labels"


@dataclass(frozen=True, eq=False)
class Found:
    """The labels that a source has of an SAE of the run."""

    site: str
    asked: str  # the source as it was asked for
    table: pl.DataFrame  # feature, label, source; several rows per feature, the best first
    neuronpedia: NeuronpediaId | None = None  # where they come from

    @property
    def figures(self) -> LabelFigures:
        text = self.table.write_ndjson().encode()
        return LabelFigures(
            site=self.site,
            asked=self.asked,
            neuronpedia=None if self.neuronpedia is None else str(self.neuronpedia),
            checksum=f"sha256:{hashlib.sha256(text).hexdigest()}",
            features=self.table["feature"].n_unique(),
            labels=len(self.table),
        )


def kept_labels(run: Run) -> list[LabelFigures]:
    """What labels a run has: a row for each SAE and source, in the order they were asked for."""
    section = run.section("labels")
    return [] if section is None else section.sources


def keep_labels(run: Run, found: Sequence[Found], overwrite: bool = False) -> None:
    """Write labels to a run; those that are there come first, or are discarded.

    Raises:
        RunError: a source is there with other labels (only without `overwrite`), a table cannot be
            read, or another program is writing to the run.
    """
    with run.writing():
        if overwrite:
            # unlisted first: what is not listed does not count
            gone = run.tables(FOLDER)
            run.update(labels=UNSET)
            run.remove(f"{FOLDER}/{name}.parquet" for name in gone)
        for one in found:
            _keep(run, one)


def _keep(run: Run, found: Found) -> None:
    there, figures = kept_labels(run), found.figures
    for other in there:
        if (other.site, other.asked) == (found.site, found.asked):
            if other.checksum == figures.checksum:
                return
            raise RunError(
                f"{run.path} holds other labels of {found.site} from {found.asked}: replace "
                "all labels of the run with --overwrite"
            )
    tables = {name: f"{FOLDER}/{name}.parquet" for name in run.tables(FOLDER)}
    table = found.table
    if found.site in tables:
        # the rows that are listed stay, so the table may be replaced before run.json is
        earlier = run.table(FOLDER, found.site).select(table.columns)
        table = pl.concat([earlier, table]).sort("feature", maintain_order=True)
    place = f"{FOLDER}/{found.site}.parquet"
    run.write(place, table.unique(maintain_order=True))
    section = {
        "tables": {**tables, found.site: place},
        "sources": plain([*there, figures]),
    }
    run.update(labels=read_record(section, Labels), saes=_named(run, found))


def _named(run: Run, found: Found) -> list[SaeRecord]:
    """The run's SAEs, with what the labelled one is called on Neuronpedia."""
    if found.neuronpedia is None:
        return run.record.saes
    told = replace(run.sae(found.site).conventions, neuronpedia_id=str(found.neuronpedia))
    return [
        replace(sae, conventions=told) if sae.name == found.site else sae for sae in run.record.saes
    ]
