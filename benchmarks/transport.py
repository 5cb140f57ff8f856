"""What a sparse transport is worth: delta-loss against edges per feature on the shipped SAEs.

    python -m benchmarks.transport --fit mixed --tokens 61200 -o transport.json
    python -m benchmarks.transport --draw transport.json

For adjacent pairs of the shipped residual SAEs: the model's loss with an estimate of the later
hidden state spliced in, less its own, in nats per token, BOS neither replaced nor counted.
Transports are fitted on one text set, on equal parts of all three (`mixed`), or on what the model
writes itself (`generated`), and measured on 40 other examples of each set; with `--valid` on 20
others, kept from the fit, for choosing how to fit. Beside them:

- drop: the earlier state stands for the later one;
- source: so does its reconstruction by its own SAE (encode-decode the current hidden state);
- target: the later state's own reconstruction;
- least squares: an affine map of the earlier state, fitted on the same tokens;
- least squares, all reaches: the same of the states that a transport's sources are read from.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import torch
from numpy import ndarray
from torch import Tensor

import saematch
from saematch import SAE
from saematch.evaluation.downstream import Predictions
from saematch.evaluation.estimates import Estimate, HiddenStates, transported
from saematch.evaluation.per_example import SplicedPair
from saematch.evaluation.splice import batches, losses
from saematch.evaluation.transports import fit_states
from saematch.models.generate import write
from saematch.models.language_model import LanguageModel
from saematch.models.opening import open_model
from saematch.models.texts import GENERATED, open_texts, tokenise
from saematch.sae import shipped
from saematch.transport import Reach, Schedule, fit_transports
from saematch.transport.reading import read

KINDS = ("prose", "code", "reference")
TEST, VALID = slice(0, 40), slice(100, 120)  # of each set; the rest is for fitting
REACHES: tuple[Reach, ...] = get_args(Reach)


class Bench:
    """A pair of SAEs, the shipped model and texts, and the loss with estimates spliced in."""

    def __init__(self, model: LanguageModel, a: SAE, b: SAE, test: slice) -> None:
        self.model, self.spliced, self.test = model, SplicedPair(model, a, b), test
        self.ids = {
            kind: tokenise(open_texts(f"saematch:{kind}", n=None), model.tokenizer, 256)
            for kind in KINDS
        }

    def fitting(self, fit: str, tokens: int, seed: int) -> list[ndarray]:
        """Examples to fit on, of one kind, of all alike, or the model's own."""
        if fit == GENERATED:
            return write(self.model, max(1, round(tokens / 255)), 256, seed)
        kinds = KINDS if fit == "mixed" else (fit,)
        last = VALID.start if self.test == VALID else None
        of = [self.ids[kind][TEST.stop : last] for kind in kinds]
        n = max(1, round(tokens / 255 / len(kinds)))
        chosen = [example for some in of for example in some[:n]]
        order = np.random.default_rng(seed).permutation(len(chosen))
        return [chosen[place] for place in order]

    @torch.no_grad()
    def delta(self, estimate: Estimate) -> dict[str, float]:
        """Delta-loss of each text set, in nats per prediction."""
        model, site = self.spliced.model, self.spliced.sites[1]
        found = {}
        for kind in KINDS:
            more, count = 0.0, 0
            for batch in batches(self.ids[kind][self.test]):
                x_hat = estimate.make(self.spliced.hidden_states(batch))
                here = losses(model, batch, site, x_hat) - losses(model, batch)
                more, count = more + float(here.sum()), count + int(batch.predicted.sum())
            found[kind] = more / count
        return found


def least_squares(x: Tensor, y: Tensor) -> Tensor:
    """`(d + 1, d)`: the affine map from x to y, its last row the bias; hardly any ridge."""
    x = torch.nn.functional.pad(x, (0, 1), value=1.0).double()
    square = x.T @ x
    square += 1e-4 * square.diagonal()[:-1].mean() * torch.eye(len(square))
    return torch.linalg.solve(square, x.T @ y.double()).float()


@torch.no_grad()
def affine(x: Tensor, example: Tensor, y: Tensor, reaches: tuple[Reach, ...]) -> Estimate:
    """Least squares on states, those of earlier tokens included."""
    fitted = least_squares(read(x, example, reaches), y)

    def ahead(states: HiddenStates) -> Tensor:
        return read(states.x_a, states.example, reaches) @ fitted[:-1] + fitted[-1]

    name = "least squares" if reaches == ("here",) else "least squares, all reaches"
    return Estimate(name, ahead)


def measure(
    model: LanguageModel, names: tuple[str, str], options: argparse.Namespace
) -> list[dict]:
    """Delta-losses of everything for one pair of SAEs; one row per test set and estimate."""
    A, B = (saematch.load(shipped.path(name)) for name in names)
    bench = Bench(model, A, B, VALID if options.valid else TEST)
    examples = bench.fitting(options.fit, options.tokens, options.seed)
    downstream = Predictions(model, bench.spliced.sites[1], examples)
    error, x_b, activations = fit_states(bench.spliced, downstream.read)
    x_a = torch.cat([bench.spliced.hidden_states(batch).x_a for batch in downstream.read])
    example = torch.from_numpy(activations.example)
    about = {"pair": " -> ".join(names), "fit": options.fit, "tokens": len(x_a)}
    about |= {"by": options.by, "reaches": options.reaches, "seed": options.seed}
    rows = []

    def add(estimate: Estimate, k: int | None = None, **more) -> None:
        for kind, delta in bench.delta(estimate).items():
            row = {"test": kind, "estimate": estimate.name, "k": k, "delta": delta}
            rows.append(about | row | more)

    add(Estimate("drop", lambda states: states.x_a))
    add(Estimate("source", lambda states: states.reconstruction))
    add(Estimate("target", lambda states: states.b.reconstruct(states.x_b)))
    for reaches in (REACHES[:1], REACHES):
        add(affine(x_a, example, x_b, reaches))
    for name in options.which.split(","):
        carry = name == "error carried"
        start = time.monotonic()
        found = fit_transports(
            A,
            B,
            activations,
            x_b,
            ks=[int(k) for k in options.ks.split(",")],
            error=error if carry else None,
            reaches=tuple(options.reaches.split(",")),
            downstream=downstream if options.by == "predictions" else None,
            schedule=Schedule(**json.loads(options.schedule)),
            seed=options.seed,
        )
        seconds = time.monotonic() - start
        for k, transport in found.items():
            edges, loss = transport.n_edges, transport.loss
            estimate = transported(transport, name, with_error=carry)
            add(estimate, k, edges=edges, loss=loss, seconds=seconds)
    return rows


def table(rows: list[dict]) -> str:
    """Markdown: a row per pair and estimate, a column per test set."""
    frame = pl.DataFrame(rows, infer_schema_length=None)
    wide = frame.pivot(
        "test", index=["fit", "tokens", "pair", "estimate", "k", "seconds"], values="delta"
    )
    config = pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=200,
        fmt_str_lengths=60,
        tbl_formatting="MARKDOWN",
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        float_precision=3,
    )
    with config:
        return str(wide)


def draw(rows: list[dict]):
    """Delta-loss against edges per feature, a panel per pair, each the mean of the test sets."""
    from plotly.subplots import make_subplots

    from saematch.plots.style import BLUE, GREEN, GREY, INK, ORANGE, RED, styled

    frame = pl.DataFrame(rows, infer_schema_length=None)
    frame = frame.filter(fit="mixed", by="predictions", reaches=",".join(REACHES)).unique(
        ["pair", "estimate", "k", "test"], keep="last", maintain_order=True
    )
    means = frame.group_by("pair", "estimate", "k", maintain_order=True).agg(pl.col("delta").mean())
    pairs = sorted(means["pair"].unique())
    figure = make_subplots(
        1,
        len(pairs),
        shared_yaxes=True,
        subplot_titles=[pair.replace("resid_", "").replace("->", "→") for pair in pairs],
    )
    ends = [int(means["k"].min()), int(means["k"].max())]  # pyright: ignore[reportArgumentType]
    colours = {"features alone": BLUE, "error carried": ORANGE}
    reaching = "least squares, all reaches"
    lines = {"source": BLUE, "drop": ORANGE, "least squares": GREEN, reaching: INK, "target": GREY}
    labels = {
        "source": "encode-decode the state before",
        "drop": "drop the layer",
        "target": "encode-decode the state itself",
        "least squares": "least squares on the state before",
        reaching: "and on earlier tokens' states",
    }
    for column, pair in enumerate(pairs, 1):
        here = means.filter(pl.col("pair") == pair)
        for name, colour in colours.items():
            line = here.filter(pl.col("estimate") == name).sort("k")
            figure.add_scatter(
                x=line["k"].to_list(),
                y=line["delta"].to_list(),
                name=f"sparse transport, {name}",
                mode="lines+markers",
                line_color=colour,
                showlegend=column == 1,
                row=1,
                col=column,
            )
        values = dict(here.filter(pl.col("k").is_null()).select("estimate", "delta").iter_rows())
        for name, colour in lines.items():
            figure.add_scatter(
                x=ends,
                y=[values[name]] * 2,
                name=labels[name],
                mode="lines",
                line={"color": colour, "dash": "dot", "width": 1.5},
                showlegend=column == 1,
                row=1,
                col=column,
            )
        figure.add_scatter(
            x=ends,
            y=[values["drop"] / 2] * 2,
            name="half of dropping",
            mode="lines",
            line={"color": RED, "dash": "dash", "width": 1},
            showlegend=column == 1,
            row=1,
            col=column,
        )
    styled(
        figure,
        "A sparse map of features across a layer: what it costs, by edges per feature",
        "nats per token above the model's own loss, mean of prose, code and reference text",
    )
    figure.update_xaxes(
        type="log",
        tickvals=[4, 8, 16, 32, 64],
        title_text="edges per feature",
    )
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="delta-loss", title_font_color=INK, col=1)
    figure.update_layout(legend={"orientation": "h", "y": -0.2}, margin_b=150)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", default="mixed", choices=["mixed", GENERATED, *KINDS])
    parser.add_argument("--tokens", type=int, default=61_200)
    parser.add_argument("--pairs", default="1,2,3,4,5", help="0: resid_pre_0 -> resid_post_0")
    parser.add_argument("--ks", default="64,32,16,8,4")
    parser.add_argument("--which", default="features alone,error carried")
    parser.add_argument("--by", default="predictions", choices=["predictions", "state"])
    parser.add_argument("--reaches", default=",".join(REACHES))
    parser.add_argument("--schedule", default="{}", help="what to change of Schedule, as JSON")
    parser.add_argument("--valid", action="store_true", help="measure on examples for choosing")
    parser.add_argument("--draw", type=Path, help="a figure of these results, and no measuring")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("transport.json"))
    options = parser.parse_args()
    if options.draw:
        rows = json.loads(options.draw.read_text())
        draw(rows).write_image(options.output.with_suffix(".svg"))
        return
    pairs = list(itertools.pairwise(shipped.residual_path()))
    model = open_model("saematch:model")
    rows = json.loads(options.output.read_text()) if options.output.exists() else []
    for place in map(int, options.pairs.split(",")):
        new = measure(model, pairs[place], options)
        print(table(new), flush=True)
        rows += new
        options.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
