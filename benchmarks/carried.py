"""Directions carried by the model's Jacobian: what they add, at every distance, without any text.

    python -m benchmarks.carried                                # the shipped small model
    python -m benchmarks.carried --model SmolLM2-135M-Instruct \
        --saes 'saematch:smollm2/resid_post_{10-16}'
    python -m benchmarks.carried --jacobians                    # which Jacobian, from which tokens
    python -m benchmarks.carried --cost --model NAME            # time and memory of a block's
    python -m benchmarks.carried --draw docs/images/carried-distance.svg NAME=curve.parquet ...

Every pair of SAEs is matched, and each match scored by the Pearson correlation (zeros included) of
its two features on held-out tokens of prose, code and reference. `best possible` chooses each
feature's partner on those very tokens. The texts to match on are `generated` (the model's own),
`random` (tokens drawn uniformly) and, for comparison, `given` (other documents of the same kinds).
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import polars as pl
import torch
from numpy import ndarray

import saematch
from benchmarks.evidence import HeldOut, activations
from saematch import SAE, MatchError
from saematch.activations import FeatureActivations
from saematch.assignment import assign
from saematch.matching import match
from saematch.matching.methods import Method, resolve
from saematch.matching.views import parse_views
from saematch.models.generate import random_tokens, write
from saematch.models.jacobian import Jacobian, mean_jacobians
from saematch.models.language_model import LanguageModel
from saematch.models.opening import open_model
from saematch.models.texts import open_texts, tokenise

PATH = ("saematch:resid_pre_0", "saematch:resid_post_{0-5}")
LENGTH = 256
HELD_OUT, TO_MATCH_ON = 110, 64  # examples
TOKENS = (1_000, 4_000, 16_000)
KINDS_OF_TEXT = ("saematch:prose", "saematch:code", "saematch:reference")
KINDS = ("one-to-one", "many-to-one")
PLAIN = "unit-decoder:0.5,unit-encoder:0.5"
CARRIED = "unit-carried-decoder:0.5,unit-carried-encoder:0.5"
BY_WEIGHTS = {
    "decoder + encoder": PLAIN,
    "carried": CARRIED,
    "plain + carried": f"{PLAIN},{CARRIED}",
}


class World:
    """A model, its SAEs in order of depth, and what their features do on several texts."""

    def __init__(self, model: str, saes: Sequence[str], texts: Sequence[str]) -> None:
        self.model = open_model(model)
        self.saes = {
            name.split("/")[-1].removeprefix("saematch:"): saematch.load(name)
            for pattern in saes
            for name in saematch.expand(pattern)
        }
        self.names = list(self.saes)
        kinds = {}
        for spec in texts:
            examples = tokenise(open_texts(spec, n=None), self.model.tokenizer, limit=LENGTH)
            order = np.random.default_rng(0).permutation(len(examples))
            kinds[spec] = [examples[i] for i in order]
        # the kinds in turn, so that any share of them is a share of each
        mixed = [e for row in itertools.zip_longest(*kinds.values()) for e in row if e is not None]
        self.held_out = self.read(mixed[:HELD_OUT])
        self.given = mixed[HELD_OUT : HELD_OUT + TO_MATCH_ON]

    def read(self, examples: Sequence[ndarray]) -> dict[str, FeatureActivations]:
        return activations(self.model, self.saes, examples)

    def hook(self, name: str) -> str:
        site = self.saes[name].conventions.site
        assert site is not None
        return site.hook

    def layer(self, name: str) -> int:
        """The block it reads after; -1 for the embedding."""
        site = self.saes[name].conventions.site
        assert site is not None
        assert site.layer is not None
        return site.layer - (site.kind == "resid_pre")

    def jacobians(self, examples: Sequence[ndarray], **how) -> dict[tuple[str, str], Jacobian]:
        """Of every pair, by products of neighbours."""
        steps = {}
        for pair in itertools.pairwise(self.names):
            source, target = (self.hook(name) for name in pair)
            steps[pair] = mean_jacobians(self.model, source, [target], examples, **how)[target]
        found = {}
        for i, j in itertools.combinations(range(len(self.names)), 2):
            way = itertools.pairwise(self.names[i : j + 1])
            found[self.names[i], self.names[j]] = reduce(Jacobian.then, [steps[p] for p in way])
        return found


def curve(world: World, distances: Sequence[int], counts: Sequence[int]) -> Iterator[dict]:
    """The held-out correlation of every pair by every method."""
    jacobians = world.jacobians(random_tokens(world.model))
    seen = {
        "generated": _generated(world.read(write(world.model, TO_MATCH_ON, LENGTH))),
        "random": _generated(world.read(random_tokens(world.model, TO_MATCH_ON, LENGTH))),
        "given": world.read(world.given),
    }
    chains = _chains(world)
    for a, b in itertools.combinations(world.names, 2):
        distance = world.layer(b) - world.layer(a)
        if distances and distance not in distances:
            continue
        judge = HeldOut(world.held_out[a], world.held_out[b])
        where = {"a": a, "b": b, "distance": distance}
        one, other = world.saes[a], world.saes[b]
        for kind in KINDS:
            for text, tokens, name, target in _ways(
                one,
                other,
                kind,
                jacobians[a, b],
                {t: (s[a], s[b]) for t, s in seen.items()},
                counts,
            ):
                row = {"kind": kind, "text": text, "tokens": tokens, "method": name}
                yield {**where, **row, "r": judge.score(target)}
        rest = {"kind": "one-to-one", "text": "", "tokens": 0}
        yield {**where, **rest, "method": "SAE Match, chained", "r": judge.score(chains[a, b])}
        for kind, best in _best(judge).items():
            yield {**where, **rest, "kind": kind, "method": "best possible", "r": best}
        print(f"{a} -> {b}", flush=True)


def _ways(
    a: SAE,
    b: SAE,
    kind: str,
    jacobian: Jacobian,
    seen: dict[str, tuple[FeatureActivations, FeatureActivations]],
    counts: Sequence[int],
) -> Iterator[tuple[str, int, str, ndarray]]:
    """Text, tokens, method, target."""

    def matched(method: Method, **more) -> ndarray:
        found = match(a, b, method, null="none", candidates=1, **more)
        return found.target.cpu().numpy()

    if kind == "one-to-one":
        yield "", 0, "SAE Match", matched(resolve("sae-match"))
    for name, views in BY_WEIGHTS.items():
        method = resolve("weighted", views=parse_views(views), kind=kind)
        yield "", 0, name, matched(method, jacobian=jacobian)
    for text, both in seen.items():
        # random tokens are no text, however many
        for tokens in counts[-1:] if text == "random" else counts:
            few = (both[0].take(slice(tokens)), both[1].take(slice(tokens)))
            for name, carried in (("fused", None), ("fused, carried", jacobian)):
                method = resolve("fused", kind=kind)
                try:
                    target = matched(method, activations=few, jacobian=carried)
                except MatchError:  # too few features fire: nothing can be learned
                    continue
                yield text, tokens, name, target


def _generated(seen: dict[str, FeatureActivations]) -> dict[str, FeatureActivations]:
    """Marked as standing in for other text, which `fused` trusts as far as kinds of it agree."""
    return {name: replace(some, generated=True) for name, some in seen.items()}


def _chains(world: World) -> dict[tuple[str, str], ndarray]:
    steps = [
        match(world.saes[a], world.saes[b], "sae-match", null="none", candidates=1).map("assigned")
        for a, b in itertools.pairwise(world.names)
    ]
    found = {}
    for i, j in itertools.combinations(range(len(world.names)), 2):
        whole = reduce(lambda one, two: one.then(two), steps[i:j])
        found[world.names[i], world.names[j]] = whole.targets.cpu().numpy()
    return found


def _best(judge: HeldOut) -> dict[str, float]:
    """The largest mean correlation that any targets reach on the held-out tokens."""
    correlation = torch.from_numpy(judge.correlation)
    one = assign(correlation, torch.eye(correlation.shape[1])).target.numpy()
    many = judge.correlation.argmax(1)
    return {"one-to-one": judge.score(one), "many-to-one": judge.score(many)}


def kinds_of_jacobian(world: World) -> pl.DataFrame:
    """`carried`, many-to-one, by what the Jacobian is a mean of."""
    tokens = {
        "random tokens": random_tokens(world.model),
        "generated": write(world.model, 2, 200),
        "given": [ids[:200] for ids in world.given[:2]],
        "random tokens, 8 sequences": random_tokens(world.model, 8),
    }
    ways = [(name, ids, {}) for name, ids in tokens.items()]
    ways.append(("random tokens, later positions too", tokens["random tokens"], {"later": True}))
    pairs = [(0, 1), (0, len(world.names) - 1), (1, 2), (1, len(world.names) - 1)]
    pairs = [(world.names[i], world.names[j]) for i, j in pairs]
    rows = []
    for name, ids, how in ways:
        products = world.jacobians(ids, **how)
        for a, b in pairs:
            source, target = world.hook(a), world.hook(b)
            direct = mean_jacobians(world.model, source, [target], ids, **how)[target]
            judge = HeldOut(world.held_out[a], world.held_out[b])
            row: dict[str, object] = {"mean over": name, "pair": f"{a} -> {b}"}
            for way, one in (("direct", direct), ("product", products[a, b])):
                found = match(world.saes[a], world.saes[b], "carried", kind="many-to-one",
                              null="none", candidates=1, jacobian=one)  # fmt: skip
                row[way] = round(judge.score(found.target.cpu().numpy()), 3)
            rows.append(row)
            print(row, flush=True)
    return pl.DataFrame(rows)


def cost(model: LanguageModel) -> pl.DataFrame:
    """Time and peak memory of the Jacobian of a middle block, by tokens in a batch."""
    depth = model.model.config.get_text_config().num_hidden_layers
    source, target = (f"blocks.{depth // 2 - k}.hook_resid_post" for k in (1, 0))
    rows = []
    for batch in (400, 2048, 8192):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        mean_jacobians(model, source, [target], random_tokens(model), batch_tokens=batch)
        taken = time.process_time() - start
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        rows.append({"batch_tokens": batch, "processor seconds": round(taken, 1),
                     "memory, MB": grown // 1024})  # fmt: skip
    return pl.DataFrame(rows)


def report(frame: pl.DataFrame) -> None:
    """Means over the pairs of a distance; those from the embedding apart."""
    embedding = pl.col("a").str.contains("pre_0")
    frame = frame.with_columns(pl.when(embedding).then(pl.lit("embedding ")).otherwise(pl.lit(""))
                               .add(pl.col("distance").cast(pl.String)).alias("apart"))  # fmt: skip
    for kind in KINDS:
        mean = frame.filter(kind=kind).group_by(
            "text", "tokens", "method", "apart", maintain_order=True
        ).agg(pl.col("r").mean())  # fmt: skip
        print(f"\n{kind}")
        with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_formatting="MARKDOWN", tbl_width_chars=200,
                       tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True,
                       float_precision=3):  # fmt: skip
            print(mean.pivot("apart", index=("text", "tokens", "method"), values="r"))


def draw(frames: dict[str, pl.DataFrame]):
    """Held-out correlation against distance, a panel per model, matched one to one."""
    from plotly.subplots import make_subplots

    from saematch.plots.style import BLUE, GREEN, GREY, LEGEND_ABOVE, ORANGE, styled

    lines = (
        ("best possible", "", 0, GREY, "dot"),
        ("fused, carried", "given", TOKENS[-1], BLUE, "solid"),
        ("fused, carried", "generated", TOKENS[-1], BLUE, "dash"),
        ("plain + carried", "", 0, GREEN, "solid"),
        ("SAE Match", "", 0, ORANGE, "solid"),
        ("SAE Match, chained", "", 0, ORANGE, "dash"),
    )
    figure = make_subplots(1, len(frames), subplot_titles=[*frames], shared_yaxes=True)
    for column, frame in enumerate(frames.values(), 1):
        shown = frame.filter(~pl.col("a").str.contains("pre_0") & (pl.col("kind") == "one-to-one"))
        for method, text, tokens, colour, dash in lines:
            line = shown.filter(method=method, text=text, tokens=tokens)
            line = line.group_by("distance").agg(pl.col("r").mean()).sort("distance")
            figure.add_scatter(
                x=line["distance"].to_list(),
                y=line["r"].to_list(),
                name=f"fused, {text} text" if text else method,
                legendgroup=f"{method}, {text}",
                showlegend=column == 1,
                mode="lines+markers",
                line={"color": colour, "dash": dash},
                row=1,
                col=column,
            )
    figure.update_xaxes(title_text="layers apart", dtick=1)
    figure.update_yaxes(title_text="held-out correlation", rangemode="tozero", col=1)
    title = "Direct matches hold over distance, chains do not"
    styled(figure, title, "mean correlation of matched features on tokens kept apart", 460)
    return figure.update_layout(legend={**LEGEND_ABOVE, "y": 1.1})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="saematch:model")
    parser.add_argument("--saes", nargs="*", default=PATH)
    parser.add_argument("--texts", nargs="*", default=KINDS_OF_TEXT)
    parser.add_argument("--distances", type=int, nargs="*", help="blocks apart; all unless given")
    parser.add_argument("--tokens", type=int, nargs="*", default=TOKENS)
    parser.add_argument("--jacobians", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--out", help="a Parquet file for every pair's figures")
    parser.add_argument("--draw", nargs="+", help="a figure, and such files with a NAME= for each")
    options = parser.parse_args()
    if options.draw:
        named = dict(one.split("=", 1) for one in options.draw[1:])
        draw({name: pl.read_parquet(path) for name, path in named.items()}).write_image(
            options.draw[0]
        )
        return
    if options.cost:
        print(cost(open_model(options.model)))
        return
    world = World(options.model, options.saes, options.texts)
    if options.jacobians:
        print(kinds_of_jacobian(world))
        return
    frame = pl.DataFrame(list(curve(world, options.distances, options.tokens)))
    if options.out:
        frame.write_parquet(options.out)
    report(frame)


if __name__ == "__main__":
    main()
