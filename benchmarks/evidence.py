"""How many tokens does it take? Held-out correlation of matched features, by evidence.

    python -m benchmarks.evidence --out curve.parquet
    python -m benchmarks.evidence --draw curve.parquet docs/images/evidence.svg

Features of the shipped residual SAEs are matched by weights alone, by the correlation of their
activations alone, and by both (`fused`), with more and more tokens. Each match is then scored by
the Pearson correlation (zeros included) of its features on tokens that no method saw. A feature
counts where it fired on ten held-out tokens; one without a target, or whose target never fires
there, counts as 0. All is repeated for one-to-one and many-to-one, and for pairs of layers 1, 3 and
5 apart. `fixed` is `fused` without its shrinkage: a fixed share of correlation, the rest cosines,
however often a feature fired; `fixed best` takes at each number of tokens the share that does best
on the very held-out tokens it is scored on, which no method can know. With `--written` the tokens
to match on are those of text that the model writes itself; those held out are the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy import ndarray

import saematch
from saematch import SAE
from saematch.activations import FeatureActivations
from saematch.activations.capturing import capture
from saematch.activations.massive import norm_limits
from saematch.activations.table import joined
from saematch.matching.methods import Method
from saematch.matching.views import View
from saematch.models.generate import write
from saematch.models.language_model import LanguageModel
from saematch.models.opening import open_model
from saematch.models.texts import open_texts, tokenise
from saematch.sae import shipped

TOKENS = (1_000, 4_000, 16_000, 64_000)
DISTANCES = (1, 3, 5)
KINDS = ("one-to-one", "many-to-one")
SHARES = (0.2, 0.5, 0.8)  # of correlation in the fixed weights that are tried
LEAST = 10  # held-out firings of a feature that counts


def weighed(share: float, kind: str) -> Method:
    """A fixed share of correlation, and the rest of decoder and encoder cosine alike."""
    parts = [View(part, True, (1 - share) / 2) for part in ("decoder", "encoder")]
    views = (*parts, View("activation", True, share))
    return Method(f"fixed {share:g}", views, kind=kind)  # pyright: ignore[reportArgumentType]


def by_weights(kind: str) -> dict[str, Method]:
    one = {"sae-match": saematch.METHODS["sae-match"](), "cosine": saematch.METHODS["cosine"]()}
    many = {"feature-flow": saematch.METHODS["feature-flow"]()}
    both = tuple(View(part, True, 0.5) for part in ("decoder", "encoder"))
    similar = Method("decoder + encoder", both, kind=kind)  # pyright: ignore[reportArgumentType]
    return {**(one if kind == "one-to-one" else many), similar.name: similar}


def by_activations(kind: str) -> dict[str, Method]:
    found = {name: saematch.METHODS[name](kind=kind) for name in ("pearson", "fused")}
    return found | {f"fixed {share:g}": weighed(share, kind) for share in SHARES}


class HeldOut:
    """What matches are worth: correlations on tokens that no method saw."""

    def __init__(self, a: FeatureActivations, b: FeatureActivations) -> None:
        x, y = (self._unit(some) for some in (a, b))
        self.correlation = x @ y.T
        self.counts = a.counts() >= LEAST

    def score(self, target: ndarray) -> float:
        found = self.correlation[np.arange(len(target)), np.maximum(target, 0)]
        return float(np.where(target >= 0, found, 0.0)[self.counts].mean())

    @staticmethod
    def _unit(some: FeatureActivations) -> ndarray:
        rows = some.deviations().numpy()
        norm = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        return rows / np.maximum(norm, 1e-12).astype(np.float32)


def rows(
    pair: tuple[str, str],
    saes: dict[str, SAE],
    seen: dict[str, FeatureActivations],
    unseen: dict[str, FeatureActivations],
) -> Iterator[dict]:
    a, b = pair
    judge = HeldOut(unseen[a], unseen[b])
    for kind in KINDS:
        for name, method in by_weights(kind).items():
            found = saematch.match(saes[a], saes[b], method, null="none")
            yield {"kind": kind, "tokens": 0, "method": name, "r": judge.score(_target(found))}
        for tokens in TOKENS:
            given = seen[a].take(slice(tokens)), seen[b].take(slice(tokens))
            for name, method in by_activations(kind).items():
                found = saematch.match(
                    saes[a], saes[b], method, null="none", candidates=1, activations=given
                )
                score = judge.score(_target(found))
                yield {"kind": kind, "tokens": tokens, "method": name, "r": score}


def _target(found: saematch.Matching) -> ndarray:
    return found.target.cpu().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=360)
    parser.add_argument("--distances", type=int, nargs="*", default=DISTANCES)
    parser.add_argument("--written", action="store_true", help="match on the model's own text")
    parser.add_argument("--out", help="a Parquet file for every pair's figures")
    parser.add_argument("--draw", nargs=2, help="such a file, and the figure to draw of it")
    options = parser.parse_args()
    if options.draw:
        draw(pl.read_parquet(options.draw[0])).write_image(options.draw[1])
        return
    names = shipped.residual_path()[1:]
    saes = {name: saematch.load(shipped.path(name)) for name in names}
    model = open_model("saematch:model")
    texts = open_texts("saematch:texts", n=None)
    examples = tokenise(texts, model.tokenizer, limit=model.max_tokens)
    # prose, code and reference mixed
    order = np.random.default_rng(0).permutation(len(examples))[: options.examples]
    acts = activations(model, saes, [examples[i] for i in order])
    held = min(max(TOKENS), acts[names[0]].n_tokens * 7 // 10)
    seen = {name: some.take(slice(held)) for name, some in acts.items()}
    unseen = {name: some.take(slice(held, None)) for name, some in acts.items()}
    if options.written:
        seen = activations(model, saes, write(model, held // 255 + 1, 256))
    about = "of the model's own " * options.written
    print(f"{held:,} {about}tokens to match on, {unseen[names[0]].n_tokens:,} held out\n")
    found = []
    for distance in options.distances:
        for a, b in zip(names, names[distance:], strict=False):
            for row in rows((a, b), saes, seen, unseen):
                found.append({"distance": distance, "pair": f"{a}--{b}", **row})
            print(f"{a} -> {b}", flush=True)
    frame = pl.DataFrame(found)
    if options.out:
        frame.write_parquet(options.out)
    report(frame)


def activations(
    model: LanguageModel, saes: dict[str, SAE], examples: Sequence[ndarray]
) -> dict[str, FeatureActivations]:
    hooks = list(dict.fromkeys(model.hooks_of(saes).values()))
    batches = list(capture(model, saes, examples, limits=norm_limits(model, hooks, examples[:32])))
    return {name: _whole([batch.saes[name] for batch in batches]) for name in saes}


def _whole(parts: Sequence[FeatureActivations]) -> FeatureActivations:
    return joined([FeatureActivations(p.matrix, p.example - p.example[0]) for p in parts])


def report(frame: pl.DataFrame) -> None:
    """Means over the pairs of a distance."""
    fixed = pl.col("method").str.starts_with("fixed")
    mean = frame.group_by("distance", "kind", "tokens", "method", maintain_order=True).agg(
        pl.col("r").mean()
    )
    best = mean.filter(fixed).group_by("distance", "kind", "tokens", maintain_order=True)
    best = best.agg(pl.lit("fixed best").alias("method"), pl.col("r").max())
    table = pl.concat([mean, best.select(mean.columns)])
    for (distance, kind), part in table.group_by("distance", "kind", maintain_order=True):
        print(f"\n{distance} apart, {kind}")
        with pl.Config(
            tbl_rows=-1,
            tbl_cols=-1,
            tbl_formatting="MARKDOWN",
            tbl_hide_dataframe_shape=True,
            tbl_hide_column_data_types=True,
            float_precision=3,
        ):
            print(part.pivot("tokens", index="method", values="r"))


def draw(frame: pl.DataFrame):
    """A panel per distance and kind: held-out correlation against tokens, by evidence."""
    from plotly.subplots import make_subplots

    from saematch.plots.style import BLUE, GREEN, GREY, LEGEND_ABOVE, ORANGE, styled

    means = frame.group_by("distance", "kind", "tokens", "method").agg(pl.col("r").mean())
    distances = sorted(means["distance"].unique())
    titles = [f"{d} layer{'s' * (d > 1)} apart, {kind}" for kind in KINDS for d in distances]
    figure = make_subplots(
        len(KINDS),
        len(distances),
        subplot_titles=titles,
        shared_yaxes=True,
        shared_xaxes=True,
        vertical_spacing=0.12,
    )
    looks = {"fused": BLUE, "pearson": ORANGE, "fixed 0.2": GREY, "fixed 0.8": GREY}
    names = {"fused": "fused", "pearson": "correlation alone", "decoder + encoder": "weights alone"}
    for row, kind in enumerate(KINDS, 1):
        for column, distance in enumerate(distances, 1):
            here = means.filter(kind=kind, distance=distance).sort("tokens")
            place = {"row": row, "col": column, "showlegend": row == column == 1}
            for method, colour in looks.items():
                line = here.filter(method=method)
                figure.add_scatter(
                    x=line["tokens"].to_list(),
                    y=line["r"].to_list(),
                    name=names.get(method, "a fixed share of correlation: 0.2, 0.8"),
                    legendgroup=names.get(method, "fixed"),
                    line={"color": colour, "dash": "dot" if colour == GREY else "solid"},
                    mode="lines" if colour == GREY else "lines+markers",
                    **{**place, "showlegend": place["showlegend"] and method != "fixed 0.8"},
                )
            weights = here.filter(method="decoder + encoder")["r"].to_list()
            figure.add_scatter(
                x=[TOKENS[0], TOKENS[-1]],
                y=weights * 2,
                name=names["decoder + encoder"],
                line_color=GREEN,
                mode="lines",
                **place,
            )
    figure.update_xaxes(type="log", tickvals=list(TOKENS), ticktext=["1k", "4k", "16k", "64k"])
    figure.update_xaxes(title_text="tokens to match on", row=len(KINDS))
    figure.update_yaxes(title_text="held-out correlation", col=1)
    title = "Together, weights and activations gain from the first thousand tokens on"
    styled(figure, title, "mean correlation of matched features on tokens kept apart", 760)
    return figure.update_layout(legend={**LEGEND_ABOVE, "y": 1.04})


if __name__ == "__main__":
    main()
