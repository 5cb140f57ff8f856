"""Three SAEs whose features are nouns: feature i of layer l fires on the noun `meaning[l][i]`."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

import saematch
from saematch import SAE, Run
from saematch.activations import FeatureActivations
from saematch.activations.batch import Batch
from saematch.activations.store import ActivationStore
from saematch.asking import Answer, Forecast, Question
from saematch.progress import Progress
from support.saes import make_sae, permuted

# fmt: off
NOUNS = [
    "river", "mountain", "winter", "kitchen", "doctor", "guitar", "parliament", "bacteria",
    "soldier", "harvest", "wedding", "keyboard", "planet", "lawyer", "bridge", "forest",
    "coffee", "engine", "painter", "temple", "desert", "insect", "molecule", "pension",
    "orchestra", "volcano", "tailor", "bishop", "glacier", "tunnel", "pepper", "senator",
    "comet", "ladder", "velvet", "prison", "castle", "dragon", "lantern", "copper",
]
# fmt: on
LAYERS, EXAMPLES, LENGTH = 3, 64, 40


@dataclasses.dataclass(frozen=True)
class World:
    saes: list[SAE]
    meaning: list[np.ndarray]  # int (features,) per layer
    run: Run
    store: ActivationStore


def make_world(folder: Path) -> World:
    width = len(NOUNS)
    rng = np.random.default_rng(0)
    first = make_sae(d_in=24, d_sae=width, layer=0)
    saes, meaning = [first], [np.arange(width)]
    for layer in range(1, LAYERS):
        order = torch.from_numpy(rng.permutation(width))
        sae = permuted(saes[-1], order, noise=0.3, seed=layer)
        site = saematch.Site(f"blocks.{layer}.hook_resid_post", "resid_post", layer)
        about = dataclasses.replace(sae.conventions, site=site, source=f"nouns/{layer}")
        saes.append(dataclasses.replace(sae, conventions=about))
        meaning.append(meaning[-1][order.argsort().numpy()])
    run = saematch.flow(saes, out=folder / "run", method="cosine", null="none")
    return World(saes, meaning, run, _store(folder / "store", saes, meaning, rng))


def _store(
    path: Path, saes: Sequence[SAE], meaning: Sequence[np.ndarray], rng: np.random.Generator
) -> ActivationStore:
    ids = rng.integers(0, len(NOUNS), EXAMPLES * LENGTH).astype(np.int32)
    example = (np.arange(len(ids)) // LENGTH).astype(np.int32)
    position = (1 + np.arange(len(ids)) % LENGTH).astype(np.int32)
    found = {}
    for layer, of in enumerate(meaning):
        fires = of[None, :] == ids[:, None]
        values = (fires * rng.uniform(1, 2, fires.shape)).astype(np.float32)
        found[f"nouns_{layer}"] = FeatureActivations(sp.csr_array(values), example)
    named = {f"nouns_{layer}": sae for layer, sae in enumerate(saes)}
    store = ActivationStore.create(
        path,
        model="nouns",
        texts={"from": ["nouns"]},
        saes=named,
        pieces=lambda tokens: [f" {NOUNS[token]}" for token in tokens],
    )
    store.add(Batch(found, ids, example, position))
    store.finish()
    return store


class Reader:
    """A language model that reads: it answers what the marked nouns say, or `fixed`."""

    model = "reader"

    def __init__(self, fixed: str | None = None) -> None:
        self.fixed = fixed
        self.asked: list[Question] = []

    def forecast(self, questions: Sequence[Question]) -> Forecast:
        return Forecast(len(questions), 0, 100 * len(questions), 8 * len(questions))

    def ask(self, questions: Sequence[Question], progress: Progress | None = None) -> list[Answer]:
        self.asked += questions
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Answer:
        said = self.fixed or right_answer(question.prompt)
        sure = tuple(float(option == said) for option in question.options)
        if not any(sure):
            return Answer(None, said, f"the model wrote {said!r}", 50, 2, cached=False)
        return Answer(sure, said, None, 50, 2, cached=False)


def right_answer(prompt: str) -> str:
    """Of `describe`: 3 for the same nouns; of `choice`: the passage with the group's noun, or 1."""
    data = json.loads(prompt[: prompt.rindex("}") + 1])
    if {*data} == {"first", "second"}:
        return "3" if _marked(data["first"]) == _marked(data["second"]) else "1"
    wanted = _marked(data["group"][0])
    return next((k for k, said in data["choices"].items() if _marked(said) == wanted), "1")


def _marked(text: str) -> str:
    return " ".join(re.findall("«(.*?)»", text)) or text
