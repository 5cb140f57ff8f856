# pyright: strict
"""What run.json holds, as typed records.

docs/reference/run-directory.md says what the fields mean. Those with a default may be missing in
older runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from msgspec import UNSET, UnsetType

from saematch.files.manifest_file import Manifest
from saematch.files.records import Count, Name, Number, Record
from saematch.sae.records import ConventionsRecord, Width
from saematch.sae.sae import Site

# what a pair's record calls its tables, and the folder of each
PAIR_FOLDERS = {
    "table": "pairs",
    "candidates": "candidates",
    "sources": "sources",
    "nulls": "nulls",
}


class SaeRecord(Record, frozen=True, kw_only=True):
    """An SAE of a run, and the places of its tables."""

    name: Name
    checksum: str
    d_in: Width
    d_sae: Width
    d_out: Width
    threshold_kind: str
    excluded: dict[str, Count]
    conventions: ConventionsRecord
    features: str
    contexts: str | None = None

    def __post_init__(self) -> None:
        for kind in ("features", "contexts"):
            _check_place(kind, getattr(self, kind), f"{kind}/{self.name}.parquet")

    @property
    def site(self) -> Site | None:
        """Where it reads, if that is known."""
        known = self.conventions.site
        return None if known is None else known.site()


class PairSummary(Record, frozen=True, kw_only=True):
    """The figures of a matching; medians of what it measures are in `more`, or `summary[NAME]`."""

    method: str
    fold: str
    measures_fold: str = "none"
    features_a: Count
    features_b: Count
    excluded_a: Count
    excluded_b: Count
    null: str = ""
    test: str = "score"  # before there was another
    fdr: Number | None = None
    p_cut: Number | None = None
    partial: bool = False
    assigned: Count
    matched: Count
    mutual_share: Number | None = None
    identity_share: Number | None = None
    gap: Number | None = None
    relative_gap: Number | None = None
    seconds: Number = 0
    median_score: Number | None = None
    median_statistic: Number | None = None
    null_statistic: Number | None = None

    def __getitem__(self, figure: str) -> Any:
        own = figure in self.__struct_fields__ and figure != "more"
        return getattr(self, figure) if own else self.more[figure]

    def get(self, figure: str, default: Any = None) -> Any:
        """A figure by name, whether it is one of the fields or in `more`."""
        own = figure in self.__struct_fields__ and figure != "more"
        return getattr(self, figure) if own else self.more.get(figure, default)


class PairRecord(Record, frozen=True, kw_only=True):
    """A pair of SAEs that is matched, and the places of its tables."""

    a: Name
    b: Name
    table: str
    candidates: str
    sources: str
    nulls: str
    summary: PairSummary
    notes: list[str]

    def __post_init__(self) -> None:
        for kind in PAIR_FOLDERS:
            _check_place(kind, getattr(self, kind), pair_place(kind, self.a, self.b))

    @property
    def names(self) -> tuple[str, str]:
        return self.a, self.b


class Section(Record, frozen=True, kw_only=True):
    """What else was computed of a run: tables by name, each with its place, and figures."""

    folder: ClassVar[str]
    tables: dict[Name, str]

    def __post_init__(self) -> None:
        for name, place in self.tables.items():
            _check_place("tables", place, f"{self.folder}/{name}.parquet")


class ModeFigures(Record, frozen=True, kw_only=True):
    """The tracks of one mode."""

    tracks: Count
    longer_than_one: Count
    mean_length: Number | None
    median_length: Number | None
    whole: Count
    skips: Count
    births: Count
    deaths: Count


class CompositionFigures(Record, frozen=True, kw_only=True):
    """Chains of matches beside direct ones, over so many steps."""

    steps: Count
    agreement: Number | None
    low: Number | None
    high: Number | None
    kept: Number | None


class OriginFigures(Record, frozen=True, kw_only=True):
    """How many features of an SAE are of an origin."""

    site: str
    origin: str
    features: Count
    share: Number | None
    low: Number | None
    high: Number | None


class Flow(Section, frozen=True, kw_only=True):
    """`saematch.flow`: what becomes of features over many layers."""

    folder = "flow"
    chain: list[str] = []
    modes: dict[str, ModeFigures] = {}
    composition: list[CompositionFigures] = []
    splits: Count = 0
    merges: Count = 0
    edges: Count = 0
    communities: Count = 0
    origins: list[OriginFigures] = []
    origin_cutoffs: list[Number] | None = None
    notes: list[str] = []


class SharedFigures(Record, frozen=True, kw_only=True):
    """How many features two SAEs share."""

    a: str
    b: str
    shared: Count


class Comparison(Section, frozen=True, kw_only=True):
    """`saematch.compare`: which features several SAEs share."""

    folder = "compare"
    features: dict[str, Count] = {}
    shared: list[SharedFigures] = []
    exactly: list[dict[str, Count]] = []


class RelatedPair(Record, frozen=True, kw_only=True):
    """What was found of a pair by what its features do; figures by name are in `more`."""

    a: Name
    b: Name
    tables: list[Name] | UnsetType = UNSET  # of its own, until all pairs are done


class Relations(Section, frozen=True, kw_only=True):
    """`saematch.relate`: what features do on the same text."""

    folder = "relations"
    model: str = ""
    dtype: str | None = None
    texts: dict[str, Any] = {}
    tokens: Count = 0
    activity: Number = 0
    top_k: Count = 0
    saematch: str = ""
    pairs: list[RelatedPair] = []


class UnfinishedRelations(Relations, frozen=True, kw_only=True):
    """Relations of single pairs, until all are done."""

    folder = "relating"
    tables: dict[Name, str] = {}


class Evaluation(Section, frozen=True, kw_only=True):
    """`saematch.evaluate`: what hidden states carried along matches cost the model."""

    folder = "evaluation"
    options: dict[str, Any] = {}
    texts: dict[str, str] = {}
    fit_texts: str = ""
    fit_tokens: Count | None = None  # not known of older runs


class LabelFigures(Record, frozen=True, kw_only=True):
    """The labels that a source has of an SAE."""

    site: Name
    asked: str  # the source, as it was asked for
    neuronpedia: str | None = None  # what the SAE is called there, where they come from there
    checksum: str = ""
    features: Count = 0
    labels: Count = 0


class Labels(Section, frozen=True, kw_only=True):
    """`saematch.label`: what features are said to mean, a table for each SAE by its name."""

    folder = "labels"
    sources: list[LabelFigures] = []


class JudgeFigures(Record, frozen=True, kw_only=True):
    """What a judge was, and what asking it took."""

    name: Name
    model: str | None = None  # the language model that it asks
    votes: Count | None = None
    labels: str | None = None  # digest of the labels that it compared
    questions: Count = 0
    input_tokens: Count = 0
    output_tokens: Count = 0


class Judging(Section, frozen=True, kw_only=True):
    """`saematch.judge`: whether matched features mean the same."""

    folder = "judging"
    options: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    tokens: Count = 0
    labels: Count = 0  # descriptions that were given
    judges: list[JudgeFigures] = []
    notes: list[str] = []


class Causes(Section, frozen=True, kw_only=True):
    """`saematch intervene`: what happens to the model where matched features are changed."""

    folder = "causes"
    options: dict[str, Any] = {}
    model: str = ""
    texts: dict[str, Any] = {}
    done: list[str] = []  # experiments and steps


class CircuitFigures(Record, frozen=True, kw_only=True):
    """What a circuit is of."""

    slug: Name
    prompt: str
    tokens: list[str]  # of the prompt, BOS included
    sites: list[Name]  # SAEs of the run, in order of depth
    model: str
    attention: Literal["frozen", "live"]
    options: dict[str, Any] = {}
    words: list[Count] = []  # the vocabulary's numbers of `tokens`, and of the logits that are kept
    logits: list[Count] = []
    unread: list[Count] = []  # positions at which no feature counts: BOS, massive activations
    nodes_before: Count = 0  # active features, errors, tokens and logits, before pruning
    edges_before: Count = 0
    nodes: Count = 0
    edges: Count = 0
    supernodes: Count = 0
    completeness: Number | None = None
    replacement: Number | None = None
    influence_before: Number | None = None  # of all nodes, before pruning
    seconds: Number = 0


class Circuits(Section, frozen=True, kw_only=True):
    """`saematch circuit`: effects between the features that are active on a prompt.

    The tables `nodes` and `edges` hold those of all circuits, by the column `circuit`.
    """

    folder = "circuits"
    circuits: list[CircuitFigures] = []


class SweepFigures(Record, frozen=True, kw_only=True):
    """What a sweep over strengths of steering was of."""

    name: Name
    features: list[str]  # those that were named, as SITE/FEATURE
    model: str
    concept: str = ""  # what its texts were rated for
    judge: str | None = None  # the language model that rated them
    options: dict[str, Any] = {}
    notes: list[str] = []


class Steering(Section, frozen=True, kw_only=True):
    """`saematch steer --sweep`: what steering by features did to the text that the model writes.

    The tables `texts`, `means` and `features` hold those of all sweeps, by the column `sweep`.
    """

    folder = "steering"
    sweeps: list[SweepFigures] = []


class DashboardTexts(Record, frozen=True, kw_only=True):
    """A text set that dashboards are of."""

    name: str
    tokens: Count
    examples: Count


class Dashboards(Section, frozen=True, kw_only=True):
    """`saematch.dashboard`: what each feature does on text, in full.

    A table for each SAE by its name, and for each pair, `A--B`, whether its features agree.
    """

    folder = "dashboards"
    model: str | None = None  # that the logits are of
    texts: list[DashboardTexts] = []  # in the order in which their tokens are numbered
    made_of: list[dict[str, Any]] = []  # what identifies each of them
    options: dict[str, Any] = {}


SectionName = Literal[
    "flow",
    "compare",
    "relations",
    "evaluation",
    "labels",
    "judging",
    "causes",
    "circuits",
    "steering",
    "dashboards",
]
SECTIONS: Mapping[SectionName, type[Section]] = {
    "flow": Flow,
    "compare": Comparison,
    "relations": Relations,
    "evaluation": Evaluation,
    "labels": Labels,
    "judging": Judging,
    "causes": Causes,
    "circuits": Circuits,
    "steering": Steering,
    "dashboards": Dashboards,
}


class RunRecord(Manifest, frozen=True, kw_only=True):
    """run.json: what was asked, of which SAEs, and the figures of every pair."""

    command: str
    options: dict[str, Any]
    created: str
    finished: str | None
    saes: list[SaeRecord]
    pairs: list[PairRecord]
    flow: Flow | UnsetType = UNSET
    compare: Comparison | UnsetType = UNSET
    relations: Relations | UnsetType = UNSET
    relating: UnfinishedRelations | UnsetType = UNSET
    evaluation: Evaluation | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    judging: Judging | UnsetType = UNSET
    causes: Causes | UnsetType = UNSET
    circuits: Circuits | UnsetType = UNSET
    steering: Steering | UnsetType = UNSET
    dashboards: Dashboards | UnsetType = UNSET

    def __post_init__(self) -> None:
        known = {sae.name for sae in self.saes}
        if len(known) != len(self.saes):
            raise ValueError("two of $.saes have one name")
        for number, pair in enumerate(self.pairs):
            for name in pair.names:
                if name not in known:
                    raise ValueError(f"$.pairs[{number}] is of {name[:99]!r}, none of $.saes")
        for name in self.labels.tables if self.labels else ():
            if name not in known:
                raise ValueError(f"$.labels.tables has {name[:99]!r}, none of $.saes")

    @property
    def sections(self) -> Iterator[Section]:
        """Those that are there, `relating` among them."""
        for name in (*SECTIONS, UnfinishedRelations.folder):
            if section := getattr(self, name):
                yield section


def pair_place(kind: str, a: str, b: str) -> str:
    """Where a pair's table of that kind lies in the run directory."""
    return f"{PAIR_FOLDERS[kind]}/{a}--{b}.parquet"


def _check_place(kind: str, place: str | None, expected: str) -> None:
    """Places are told for other readers; a table lies nowhere but where it belongs."""
    if place is not None and place != expected:
        raise ValueError(f"{kind} is {place[:99]!r}, expected {expected[:99]!r}")
