"""The parts of a reproduction of SAE Match: texts, runs, activations, evaluations, tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from saematch.activations.store import ActivationStore
from saematch.errors import MatchError, SaematchError
from saematch.files.directory import writing
from saematch.layers.layers import Layers
from saematch.models.language_model import LanguageModel
from saematch.models.texts import GENERATED, Text, open_texts
from saematch.progress import Progress, log
from saematch.reproduction.judgements import judged_shares
from saematch.reproduction.measures import correlations, folded_errors, sae_table
from saematch.reproduction.reproduction import Reproduction
from saematch.runs.run import Run
from saematch.sae.sae import Site
from saematch.workflows.capture import capture
from saematch.workflows.evaluate import evaluate
from saematch.workflows.flow import flow
from saematch.workflows.judge import judge
from saematch.workflows.matcher import Matcher
from saematch.workflows.saes import Given, Saes

FUSED = {"fused": "fit", "fused-generated": GENERATED}  # runs, and the activations they are given
JUDGED = ("folded", "unfolded", "cosine", "many-to-one", *FUSED)
SPREAD = 5  # pairs of neighbours, spread over the layers, at which matches by fused are evaluated
DISTANCES = (2, 3, 5, 8, 12)  # layers apart, beside the longest
Names = tuple[str, str]


class SaeMatchParts:
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

    def check_controls(self) -> None:
        """Raise where a control reads at none of the sites that are followed."""
        if not len(self.controls) or self.made.has("matching: controls"):
            return
        sites = {sae.conventions.site for sae in self.saes.read(self.progress)}
        for label, sae in zip(self.controls.labels, self.controls, strict=True):
            if sae.conventions.site not in sites:
                raise MatchError(
                    f"{label} is no control: it reads at {sae.conventions.site}, where none of the "
                    "SAEs that are followed reads; give others of their sites (--controls)"
                )

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

    def match(self, reach: int) -> None:
        """Match by every method that needs weights alone."""
        self.made.once("matching: folded", lambda: self._folded(reach))
        self._flow("unfolded", "sae-match", fold="none")
        self._flow("cosine", "cosine")
        self._flow("many-to-one", "feature-flow")
        self.chain = Layers.of(self._run("folded")).chain
        self.steps = list(pairwise(self.chain))
        self.far = far_pairs(self.chain)
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
        # every estimate is a pass of the model: from one end only, and of other matches only some
        every = [*self.steps, *(pair for pair in self.far if pair[0] == self.chain[0])]
        some = self.steps[:: max(1, len(self.steps) // SPREAD)]
        self.made.once(
            "evaluating: folded",
            lambda: evaluate(folded, self.language, texts, pairs=every, **how),
        )
        for name in FUSED:
            self.made.once(
                f"evaluating: {name}",
                lambda name=name: evaluate(
                    self._run(name), self.language, texts, pairs=some, **how, **less
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

    def judge(self, paths: int) -> None:
        """Ask judges that need no language model, on the texts that no method saw."""

        def work(name: str) -> None:
            try:
                judge(
                    self._run(name),
                    self._store("report"),
                    paths=paths,
                    seed=self.seed,
                    progress=self._telling(name),
                )
            except MatchError as error:
                log.warning(f"{name} is not judged: {error}")

        for name in JUDGED:
            self.made.once(f"judging: {name}", lambda name=name: work(name))
        runs = {name: self._run(name) for name in JUDGED}
        self.made.once(
            "judging: shares", lambda: self.made.add_table("judged", judged_shares(runs))
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
                progress=self._telling(name),
                **options,
            )

        self.made.once(f"matching: {name}", work)

    def _folded(self, reach: int) -> None:
        """Matches by SAE Match of all that are near, and of some that are far."""
        made: dict[str, Any] = {
            "site": self.site,
            "device": self.saes.device,
            "out": self._place("folded"),
            "progress": self._telling("folded"),
        }
        run = flow(self.saes.given, "sae-match", reach=reach, **made)
        far = far_pairs(Layers.of(run).chain)
        if not all(run.has_pair(*pair) for pair in far):
            self._pairs("folded", Matcher.of("sae-match"), self.saes, far, "flow")
            # tracks and compositions of all pairs
            flow(self.saes.given, "sae-match", reach=reach, **made)

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
        self._pairs("controls", matcher, every, list(dict.fromkeys(pairs)))

    def _pairs(
        self,
        name: str,
        matcher: Matcher,
        saes: Saes,
        pairs: Sequence[Names],
        command: str = "reproduce",
    ) -> Run:
        """A run of chosen pairs, without what a flow adds."""
        run = Run.create(self._place(name), command, matcher.options, saes.read(self.progress))
        matcher.match_into(run, saes, pairs, self._telling(name))
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

    def _telling(self, name: str) -> Progress:
        """Progress that says of which run it is."""
        return lambda step: self.progress(replace(step, stage=f"{name}: {step.stage}"))

    def _run(self, name: str) -> Run:
        return Run.open(self._place(name))

    def _place(self, name: str) -> Path:
        return self.made.path / "runs" / name

    def _text(self, name: str) -> str:
        return str(self.made.path / "texts" / f"{name}.jsonl")

    def _write(self, name: str, texts: Sequence[Text]) -> None:
        rows = ({"text": text.text, "source": text.source} for text in texts)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        with writing(self.made.path, f"texts/{name}.jsonl") as partial:
            partial.write_text(lines, encoding="utf-8")


def far_pairs(chain: Sequence[str]) -> list[Names]:
    """Pairs further apart than neighbours: from the first SAE, and from the one in the middle.

    At distances that grow, and the longest: each pair takes as long as two neighbours.
    """
    last, middle = len(chain) - 1, len(chain) // 2
    found = []
    for start in dict.fromkeys((0, middle)):
        ends = dict.fromkeys(k for k in (*DISTANCES, last - start) if 2 <= k <= last - start)
        found += [(chain[start], chain[start + k]) for k in ends]
    return found


def _same_site(run: Run, pair: Names) -> bool:
    return run.sae(pair[0]).site == run.sae(pair[1]).site
