"""`saematch.reproduce`: the experiments of a paper on any model and SAEs, as one report."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saematch.activations.massive import TIMES
from saematch.activations.store import ActivationStore
from saematch.errors import MatchError, SaematchError, names_there
from saematch.files.atomic import whole
from saematch.files.records import outside
from saematch.layers.layers import Layers
from saematch.models.language_model import LanguageModel
from saematch.models.texts import Text, open_texts
from saematch.reproduction.measures import correlations, folded_errors, sae_table
from saematch.reproduction.reproduction import Reproduction
from saematch.reproduction.sae_match import write_report
from saematch.runs.run import Run
from saematch.sae.sae import Site
from saematch.workflows.capture import capture
from saematch.workflows.evaluate import evaluate
from saematch.workflows.flow import flow
from saematch.workflows.folders import written
from saematch.workflows.matcher import Matcher
from saematch.workflows.models import GivenModel, opened
from saematch.workflows.options import DtypeChoice
from saematch.workflows.progress import Progress, Step, log, silent
from saematch.workflows.saes import Given, Saes

PAPERS = ("sae-match",)
TEXTS = ("openwebtext", "github", "wikitext")  # of SAE Match
GENERATED = "generated"
FUSED = {"fused": "fit", "fused-generated": GENERATED}  # runs, and the activations they are given
DISTANCES = (2, 3, 5, 8, 12)  # layers apart, beside the longest
Names = tuple[str, str]


def reproduce(
    paper: str,
    saes: Given | Sequence[Given],
    model: GivenModel,
    text: str | Path | Sequence[str | Path] | Mapping[str, str | Path] = TEXTS,
    *,
    controls: Given | Sequence[Given] = (),
    examples: int = 100,
    fit_examples: int = 100,
    length: int = 1024,
    tokens: int = 20_000,
    reach: int | None = None,
    massive: float | None = TIMES,
    site: str | Site | None = None,
    seed: int = 0,
    batch_tokens: int = 4096,
    device: str | torch.device = "auto",
    dtype: DtypeChoice | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Reproduction:
    """Make every figure of a paper that needs no judge, for a model and SAEs of your own.

    `sae-match` (arXiv 2410.07656): features of neighbouring layers matched with and without
    folding, by cosine, and many to one; their folded errors beside those of i -> i; hidden states
    mapped across a layer, beside every baseline; the partial variant; chained and direct matches by
    distance; lifespans, births and deaths; and the same for matches by weights and activations
    together (`fused`), on given text and on text that the model generates. The result is one
    directory with a page, `report.html`. Calling it again continues where it stopped.

    Args:
        paper: `sae-match`.
        saes: at least three SAEs of the residual stream in any order, as of `saematch.flow`.
        model: the model that they are of, as of `saematch.capture`.
        text: text sets to report on, as of `saematch.capture`, by name if a mapping is given. Each
            text is one example, cut at `length`, as in the paper.
        controls: further SAEs of the same sites, such as others with another L0 or seed: matched
            with those of `saes` at the same site, and at the site before. They may be added by a
            later call.
        examples: texts of each set to report on, drawn at random.
        fit_examples: texts of each set, others than those, that baselines are fitted on and that
            `fused` is given; also the number of texts that the model generates.
        length: maximum number of tokens of an example, BOS included.
        tokens: number of tokens that `fused` is given.
        reach: match any two SAEs up to this many apart; all unless given.
        massive: as of `saematch.evaluate`.
        site: where SAEs given by name read, as of `saematch.load`.
        seed: of all that is random.
        batch_tokens: number of tokens that the model reads at once.
        device: where to compute, as of `saematch.flow`.
        dtype: of the model's weights; as stored unless given.
        out: the directory; None for a temporary one, which is removed when the reproduction is no
            longer used, at the latest when the process ends.
        overwrite: discard another reproduction in the directory.
        progress: called with a `Step` of `saematch.workflows.progress` as work proceeds; `print`
            will do.

    Raises:
        SaematchError: an SAE, model, text or option that cannot be used.
        RunError: the directory holds something else, or another program is writing to it.
    """
    if paper not in PAPERS:
        raise SaematchError(f"no paper {paper!r}; {names_there(paper, PAPERS)}")
    given, others = Saes(saes, device, site), Saes(controls, device, site)
    given.check_once(MatchError)
    if len(given) < 3:
        raise MatchError(f"{len(given)} SAEs were given; a path through layers takes 3 at least")
    language = opened(model, given.device, dtype)
    named = _named(text)
    asked = {
        "model": language.name,
        "dtype": dtype,
        "saes": given.labels,
        "texts": named,
        "examples": examples,
        "fit_examples": fit_examples,
        "length": length,
        "tokens": tokens,
        "reach": reach,
        "massive": massive or None,
        "seed": seed,
    }
    made = written(out, lambda path: Reproduction.create(path, paper, asked, overwrite))
    tell = progress or silent
    reading: dict[str, Any] = {
        "batch_tokens": batch_tokens,
        "dtype": dtype,
        "massive": massive,
    }
    work = _SaeMatch(made, given, others, language, site, seed, reading, tell)
    with _each_once():
        work.read_texts(named, examples, fit_examples)
        work.match(reach)
        work.look(examples, fit_examples, length, tokens)
        work.evaluate(examples, fit_examples, length)
        work.measure()
    tell(Step("writing the report", 0, None))
    made.finish(write_report(made))
    return made


class _SaeMatch:
    """The parts of a reproduction of SAE Match; each is done once."""

    def __init__(
        self,
        made: Reproduction,
        saes: Saes,
        controls: Saes,
        language: LanguageModel,
        site: str | Site | None,
        seed: int,
        reading: dict[str, Any],
        progress: Progress,
    ) -> None:
        self.made, self.saes, self.controls, self.language = made, saes, controls, language
        self.site, self.seed, self.reading, self.progress = site, seed, reading, progress

    def read_texts(self, named: Mapping[str, str], examples: int, fit_examples: int) -> None:
        """Draw texts to report on, and others to fit on, and keep them."""

        def draw() -> None:
            rng, rest = np.random.default_rng(self.seed), []
            for name, spec in named.items():
                found = open_texts(spec, examples + fit_examples, self.seed).texts
                if len(found) <= examples:
                    raise SaematchError(
                        f"{spec} has {len(found):,} texts, all of which are reported on (examples="
                        f"{examples}, --examples): take fewer, so that some are left to fit on"
                    )
                order = rng.permutation(len(found))
                self._write(name, [found[i] for i in sorted(order[:examples])])
                rest += [found[i] for i in order[examples:]]
            self._write("fit", rest)

        self.made.once("texts", draw)
        self.names = [*named]

    def match(self, reach: int | None) -> None:
        """Match by every method that needs weights alone."""
        whole_path = {"pairs": "all"} if reach is None else {"reach": reach}
        self._flow("folded", "sae-match", **whole_path)
        self._flow("unfolded", "sae-match", fold="none")
        self._flow("cosine", "cosine")
        self._flow("many-to-one", "feature-flow")
        self.chain = Layers.of(self._run("folded")).chain
        self.steps = list(pairwise(self.chain))
        self.far = _far(self.chain, reach)
        if len(self.controls):
            self.made.once("matching: controls", self._match_controls)

    def look(self, examples: int, fit_examples: int, length: int, tokens: int) -> None:
        """What features do on text, and matches by weights and activations together."""
        given = self.saes.given
        self._capture("report", given, self.names, examples, length)
        self._capture("fit", given, ["fit"], fit_examples * len(self.names), length)
        self._capture(GENERATED, given, None, fit_examples, length)
        if len(self.controls):
            every = [*given, *self.controls.given]
            self._capture("controls", every, self.names, examples, length)
        for name, of in FUSED.items():
            store = self._store(of)
            some = min(tokens, store.n_tokens)
            self._flow(name, "fused", activations=store, tokens=some)
            matcher = Matcher.of("fused", activations=store, tokens=some)
            self.made.once(
                f"matching: far-{name}",
                lambda name=name, by=matcher: self._pairs(f"far-{name}", by, self.saes, self.far),
            )

    def evaluate(self, examples: int, fit_examples: int, length: int) -> None:
        """Map hidden states along the matches, in the running model."""
        texts = {name: self._text(name) for name in self.names}
        how: dict[str, Any] = {
            "examples": examples,
            "fit": self._text("fit"),
            "fit_examples": fit_examples * len(self.names),
            "length": length,
            "long": "truncate",
            "seed": self.seed,
            **self.reading,
            "device": self.saes.device,
            "saes": [*self.saes.in_memory, *self.controls.in_memory],
            "progress": self.progress,
        }
        less: dict[str, Any] = {"quantiles": (), "carry": ("auto",)}
        folded = self._run("folded")
        every = [*self.steps, *self.far]
        self.made.once(
            "evaluating: folded",
            lambda: evaluate(folded, self.language, texts, pairs=every, **how),
        )
        for name in FUSED:
            self.made.once(
                f"evaluating: {name}",
                lambda name=name: evaluate(
                    self._run(name), self.language, texts, pairs=self.steps, **how, **less
                ),
            )
        if len(self.controls):
            run = self._run("controls")
            ahead = [pair for pair in run.pairs if not _same_site(run, pair)]
            if ahead:
                self.made.once(
                    "evaluating: controls",
                    lambda: evaluate(run, self.language, texts, pairs=ahead, **how, **less),
                )

    def measure(self) -> None:
        """The tables of the report that no run has."""
        runs = {name: run for name, run in self.made.runs.items() if name != "controls"}
        store = self._store("report")

        def tables() -> None:
            folded = runs["folded"]
            place = {name: k for k, name in enumerate(folded.names)}
            near = {name: run for name, run in runs.items() if not name.startswith("far-")}
            errors = folded_errors(self.steps, near, lambda name: self.saes[place[name]])
            self.made.add_table("folded_errors", errors)
            self.made.add_table("correlations", correlations(self.steps, near, store))
            far = {name: runs[f"far-{name}"] for name in FUSED}
            beyond = correlations(self.far, {"folded": folded, **far}, store, chained=folded)
            self.made.add_table("correlations_far", beyond)
            self.made.add_table("saes", sae_table(folded, store))

        self.made.once("measuring", tables)
        if len(self.controls):
            self.made.once("measuring: controls", self._measure_controls)

    def _measure_controls(self) -> None:
        run, store = self._run("controls"), self._store("controls")
        every = [*self.saes, *self.controls]
        place = {name: k for k, name in enumerate(run.names)}
        found = folded_errors(run.pairs, {"folded": run}, lambda name: every[place[name]])
        self.made.add_table("controls_errors", found)
        self.made.add_table(
            "controls_correlations", correlations(run.pairs, {"folded": run}, store)
        )
        self.made.add_table("controls_saes", sae_table(run, store))

    def _flow(self, name: str, method: str, **options: Any) -> None:
        def work() -> None:
            flow(
                self.saes.given,
                method,
                site=self.site,
                device=self.saes.device,
                out=self._place(name),
                progress=self.progress,
                **options,
            )

        self.made.once(f"matching: {name}", work)

    def _match_controls(self) -> None:
        every = Saes([*self.saes.given, *self.controls.given], self.saes.device, self.site)
        matcher = Matcher.of("sae-match")
        run = self._pairs("controls", matcher, every, [])
        mains, others = run.names[: len(self.saes)], run.names[len(self.saes) :]
        where = dict(zip(mains, self._run("folded").names, strict=True))
        before = {b: a for a, b in self.steps}
        pairs = []
        for other in others:
            for main in mains:
                if run.sae(main).site == run.sae(other).site:
                    pairs.append((main, other))
                    earlier = before.get(where[main])
                    pairs += [(a, b) for a in mains if where[a] == earlier for b in (main, other)]
        if not pairs:
            raise MatchError(
                "controls are SAEs of the same sites as those that are followed; none of them is: "
                + ", ".join(self.controls.labels)
            )
        self._pairs("controls", matcher, every, list(dict.fromkeys(pairs)))

    def _pairs(self, name: str, matcher: Matcher, saes: Saes, pairs: Sequence[Names]) -> Run:
        """A run of chosen pairs, without what a flow adds."""
        run = Run.create(self._place(name), "reproduce", matcher.options, saes.read(self.progress))
        matcher.match_into(run, saes, pairs, self.progress)
        run.finish()
        return run

    def _capture(
        self,
        name: str,
        saes: Sequence[Given],
        texts: Sequence[str] | None,
        examples: int,
        length: int,
    ) -> None:
        """Activations of SAEs on some of the texts, or on text that the model generates."""

        def work() -> None:
            capture(
                saes,
                self.language,
                [GENERATED] if texts is None else [self._text(text) for text in texts],
                examples=examples,
                length=length,
                long="truncate",
                seed=self.seed,
                site=self.site,
                device=self.saes.device,
                out=self.made.path / "activations" / name,
                progress=self.progress,
                **self.reading,
            )

        self.made.once(f"reading: {name}", work)

    def _store(self, name: str) -> ActivationStore:
        return ActivationStore.open(self.made.path / "activations" / name)

    def _run(self, name: str) -> Run:
        return Run.open(self._place(name))

    def _place(self, name: str) -> Path:
        return self.made.path / "runs" / name

    def _text(self, name: str) -> str:
        return str(self.made.path / "texts" / f"{name}.jsonl")

    def _write(self, name: str, texts: Sequence[Text]) -> None:
        rows = ({"text": text.text, "source": text.source} for text in texts)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        with whole(Path(self._text(name))) as partial:
            partial.write_text(lines, encoding="utf-8")


@contextmanager
def _each_once() -> Iterator[None]:
    """The same note, of the same texts read again, is told once."""
    told: set[str] = set()

    def new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not (message in told or told.add(message))

    log.addFilter(new)
    try:
        yield
    finally:
        log.removeFilter(new)


def _named(text: str | Path | Sequence[str | Path] | Mapping[str, str | Path]) -> dict[str, str]:
    """Text sets by name: the end of each specification, unless names are given."""
    if isinstance(text, Mapping):
        found = {name: str(spec) for name, spec in text.items()}
    else:
        specs = [str(text)] if isinstance(text, (str, Path)) else [str(some) for some in text]
        found = {Path(spec.rpartition(":")[2]).stem: spec for spec in specs}
        if len(found) < len(specs):
            raise SaematchError(
                f"two of the text sets {', '.join(specs)} would have one name: give them by name "
                "from Python, or rename a file"
            )
    wrong = [name for name in found if name == "fit" or outside(name)]
    if wrong or not found:
        raise SaematchError(
            f"a text set cannot be called {wrong[0]!r}: it becomes a file beside fit.jsonl"
            if wrong
            else "text (--text) takes one text set at least"
        )
    return found


def _far(chain: Sequence[str], reach: int | None) -> list[Names]:
    """Pairs further apart than neighbours: from the first SAE, and from the one in the middle.

    At distances that grow, and the longest: each pair takes as long as two neighbours.
    """
    last, middle = len(chain) - 1, len(chain) // 2
    found = []
    for start in dict.fromkeys((0, middle)):
        most = min(last - start, reach or last)
        ends = dict.fromkeys(k for k in (*DISTANCES, most) if 2 <= k <= most)
        found += [(chain[start], chain[start + k]) for k in ends]
    return found


def _same_site(run: Run, pair: Names) -> bool:
    return run.sae(pair[0]).site == run.sae(pair[1]).site
