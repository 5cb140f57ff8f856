"""What a sparse transport is worth: delta-loss against edges per feature on the shipped SAEs.

    python -m benchmarks.transport --fit mixed --tokens 10000 -o transport.json
    python -m benchmarks.transport --draw transport.json

For adjacent pairs of the shipped residual SAEs: the model's loss with an estimate of the later
hidden state spliced in, less its own, in nats per token, BOS neither replaced nor counted.
Transports are fitted on one text set, or on equal parts of all three (`mixed`), and measured on 40
other examples of each set. Beside them:

- drop: the earlier state stands for the later one;
- source: so does its reconstruction by its own SAE (encode-decode the current hidden state);
- target: the later state's own reconstruction, which no transport is expected to beat;
- least squares: an affine map of the earlier state, fitted on the same tokens.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch
from torch import Tensor
from transformers import AutoTokenizer, GPT2LMHeadModel

import saematch
from saematch import SAE, shipped
from saematch.activations.feature_activations import FeatureActivations
from saematch.transport import Schedule, fit_transports

KINDS = ("prose", "code", "reference")
TEST = 40  # the first examples of each set; those after them are for fitting


class Spliced:
    """The shipped model's residual stream on its texts, and its loss with a state replaced."""

    @torch.no_grad()
    def __init__(self, names: list[str]):
        folder = shipped.folder()
        self.names = names
        self.model = GPT2LMHeadModel.from_pretrained(folder / "model", dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder / "model")
        self.ids, self.states, self.loss = {}, {}, {}
        for kind in KINDS:
            lines = (folder / "texts" / f"{kind}.jsonl").read_text().splitlines()
            self.ids[kind] = torch.tensor(
                [
                    [
                        tokenizer.bos_token_id,
                        *tokenizer.encode(
                            json.loads(line)["text"], truncation=True, max_length=255
                        ),
                    ]
                    for line in lines
                ]
            )
            state = self.model.transformer.wte(self.ids[kind])
            state = state + self.model.transformer.wpe.weight[: state.shape[1]]
            states = [state]
            for block in self.model.transformer.h:
                states.append(torch.cat([_run(block, part) for part in states[-1].split(40)]))
            self.states[kind] = states
            self.loss[kind] = self._loss(kind, len(states) - 1, states[-1][:TEST])

    def at(self, kind: str, name: str, examples: slice) -> Tensor:
        """`(tokens, d)`: the state at a site, BOS left out."""
        return self.states[kind][self.names.index(name)][examples, 1:].flatten(0, 1)

    @torch.no_grad()
    def delta(self, kind: str, name: str, estimate: Tensor) -> float:
        """Delta-loss over the examples for testing, in nats per token."""
        place = self.names.index(name)
        state = self.states[kind][place][:TEST].clone()
        state[:, 1:] = estimate.view_as(state[:, 1:])
        return float(self._loss(kind, place, state) - self.loss[kind])

    def _loss(self, kind: str, place: int, state: Tensor) -> Tensor:
        for block in self.model.transformer.h[place:]:
            state = _run(block, state)
        logits = self.model.lm_head(self.model.transformer.ln_f(state[:, 1:-1]))
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), self.ids[kind][:TEST, 2:].flatten()
        )


def _run(block: torch.nn.Module, state: Tensor) -> Tensor:
    out = block(state)
    return out[0] if isinstance(out, tuple) else out


def activations(a: SAE, x: Tensor) -> FeatureActivations:
    """A's activations on states of examples of one length."""
    example = np.zeros(len(x), dtype=np.int32)
    return FeatureActivations(sp.csr_array(a.encode(x).numpy()), example)


def least_squares(x: Tensor, y: Tensor) -> Tensor:
    """`(d + 1, d)`: the affine map from x to y, its last row the bias; hardly any ridge."""
    x = torch.cat([x, torch.ones(len(x), 1)], 1).double()
    square = x.T @ x
    square += 1e-6 * square.diagonal().mean() * torch.eye(len(square))
    return torch.linalg.solve(square, x.T @ y.double()).float()


@torch.no_grad()
def measure(
    spliced: Spliced, a: str, b: str, fit: str, tokens: int, ks: tuple[int | None, ...], seed: int
) -> list[dict]:
    """Delta-losses of everything for one pair of SAEs; one row per test set and estimate."""
    A, B = saematch.load(shipped.path(a)), saematch.load(shipped.path(b))
    kinds = KINDS if fit == "mixed" else (fit,)
    length = spliced.ids[kinds[0]].shape[1] - 1
    last = TEST + max(1, round(tokens / length / len(kinds)))
    chosen = slice(TEST, last)
    x_a = torch.cat([spliced.at(kind, a, chosen) for kind in kinds])
    x_b = torch.cat([spliced.at(kind, b, chosen) for kind in kinds])
    affine = least_squares(x_a, x_b)
    rows = []

    def add(estimate: str, k: int | None, values: dict[str, Tensor], **more) -> None:
        for kind, value in values.items():
            delta = spliced.delta(kind, b, value)
            row = {"pair": f"{a} -> {b}", "fit": fit, "tokens": len(x_a), "test": kind}
            rows.append(row | {"estimate": estimate, "k": k, "delta": delta} | more)

    test = {kind: spliced.at(kind, a, slice(0, TEST)) for kind in KINDS}
    later = {kind: spliced.at(kind, b, slice(0, TEST)) for kind in KINDS}
    f_test = {kind: A.encode(x) for kind, x in test.items()}
    error = {kind: x - A.decode(f_test[kind]) for kind, x in test.items()}
    add("drop", None, test)
    add("source", None, {kind: A.reconstruct(x) for kind, x in test.items()})
    add("target", None, {kind: B.reconstruct(x) for kind, x in later.items()})
    mapped = {kind: x @ affine[:-1] + affine[-1] for kind, x in test.items()}
    add("least squares", None, mapped)
    for name in ("features alone", "error carried"):
        carry = name == "error carried"
        start = time.monotonic()
        found = fit_transports(
            A,
            B,
            activations(A, x_a),
            x_b,
            ks=ks,
            carried=x_a - A.reconstruct(x_a) if carry else None,
            schedule=Schedule(),
            seed=seed,
        )
        seconds = time.monotonic() - start
        for k, transport in found.items():
            values = {
                kind: transport.estimate(f, error[kind] if carry else None)
                for kind, f in f_test.items()
            }
            l0 = float((transport.apply(f_test["prose"]) > 0).sum(1).float().mean())
            add(name, k, values, l0_prose=l0, edges=transport.n_edges, seconds=seconds)
    return rows


def table(rows: list[dict]) -> str:
    """Markdown: a row per pair and estimate, a column per test set."""
    frame = pl.DataFrame(rows, infer_schema_length=None)
    wide = frame.pivot("test", index=["fit", "tokens", "pair", "estimate", "k"], values="delta")
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
    frame = frame.filter(pl.col("fit") == "mixed").unique(
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
    dense = 256  # where all edges are drawn
    colours = {"features alone": BLUE, "error carried": ORANGE}
    lines = {"source": BLUE, "drop": ORANGE, "least squares": GREEN, "target": GREY}
    labels = {
        "source": "encode-decode the state before",
        "drop": "drop the layer",
        "target": "encode-decode the state itself",
        "least squares": "least squares on the state before",
    }
    for column, pair in enumerate(pairs, 1):
        here = means.filter(pl.col("pair") == pair)
        for name, colour in colours.items():
            line = here.filter(pl.col("estimate") == name).sort("k", nulls_last=True)
            figure.add_scatter(
                x=line["k"].fill_null(dense).to_list(),
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
                x=[4, dense],
                y=[values[name]] * 2,
                name=labels[name],
                mode="lines",
                line={"color": colour, "dash": "dot", "width": 1.5},
                showlegend=column == 1,
                row=1,
                col=column,
            )
        figure.add_scatter(
            x=[4, dense],
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
        tickvals=[4, 8, 16, 32, 64, dense],
        ticktext=["4", "8", "16", "32", "64", "all"],
        title_text="edges per feature",
    )
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="delta-loss", title_font_color=INK, col=1)
    figure.update_layout(legend={"orientation": "h", "y": -0.2}, margin_b=150)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", default="mixed", choices=["mixed", *KINDS])
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--pairs", default="1,2,3,4,5", help="0: resid_pre_0 -> resid_post_0")
    parser.add_argument("--ks", default="dense,64,32,16,8,4")
    parser.add_argument("--draw", type=Path, help="a figure of these results, and no measuring")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("transport.json"))
    options = parser.parse_args()
    if options.draw:
        rows = json.loads(options.draw.read_text())
        draw(rows).write_image(options.output.with_suffix(".svg"))
        return
    ks = tuple(None if k == "dense" else int(k) for k in options.ks.split(","))
    names = shipped.residual_path()
    pairs = list(itertools.pairwise(names))
    spliced = Spliced(names)
    rows = json.loads(options.output.read_text()) if options.output.exists() else []
    for place in map(int, options.pairs.split(",")):
        new = measure(spliced, *pairs[place], options.fit, options.tokens, ks, options.seed)
        print(table(new), flush=True)
        rows += new
        options.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
