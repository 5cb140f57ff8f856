"""How good are matches? Activation correlation of matched features on held-out tokens.

    python -m benchmarks.correlation

For every adjacent pair of the shipped residual SAEs and every method: the mean over features of the
Pearson correlation (zeros included) between a feature's activations and its target's, on the
shipped evaluation texts, which neither the model nor the SAEs were trained on. Beside them the
identity (feature i to feature i) and a random permutation. A feature counts where it fired on at
least ten of the tokens; a target that never fires counts as 0.
"""

from __future__ import annotations

import argparse
import itertools

import polars as pl
import torch
from torch import Tensor

import saematch
from saematch import SAE, Matching
from saematch.models import open_model, open_texts, tokenise
from saematch.sae import shipped
from saematch.sae.shipped import PREFIX

METHODS: dict[str, tuple[str, dict]] = {
    "sae-match": ("sae-match", {}),
    "sae-match, decoder only": ("sae-match", {"terms": "decoder"}),
    "sae-match, encoder only": ("sae-match", {"terms": "encoder"}),
    "sae-match, with bias": ("sae-match", {"bias": True}),
    "sae-match, decoder-norm": ("sae-match", {"fold": "decoder-norm"}),
    "sae-match, unfolded": ("sae-match", {"fold": "none"}),
    "cosine": ("cosine", {}),
    "feature-flow": ("feature-flow", {}),
    "paulo-belrose, shared": ("paulo-belrose", {}),
}


def feature_activations(saes: dict[str, SAE], kinds: tuple[str, ...], device: str):
    """Yield `{name: (tokens, d_sae)}` over the evaluation texts, BOS left out."""
    model = open_model("saematch:model", device, torch.float32)
    hooks = model.hooks_of(saes)
    for kind in kinds:
        for ids in tokenise(open_texts(f"{PREFIX}{kind}", n=None), model.tokenizer, 256):
            found = model.run(torch.from_numpy(ids)[None], sorted(set(hooks.values())))
            yield {name: sae.encode(found[hooks[name]][0, 1:]) for name, sae in saes.items()}


class PairCorrelation:
    """Running Pearson correlation between feature i of A and `target[i]` of B."""

    def __init__(self, target: Tensor):
        self.target = target.clamp(min=0)
        self.n = 0
        self.sums = torch.zeros(5, len(target), dtype=torch.float64)
        self.fired = torch.zeros(len(target))

    def add(self, a: Tensor, b: Tensor) -> None:
        x, y = a.double().cpu(), b.double().cpu()[:, self.target]
        self.n += len(x)
        self.fired += (x > 0).sum(0)
        self.sums += torch.stack(
            [x.sum(0), y.sum(0), (x * x).sum(0), (y * y).sum(0), (x * y).sum(0)]
        )

    def value(self) -> Tensor:
        x, y, xx, yy, xy = self.sums / self.n
        scale = ((xx - x * x) * (yy - y * y)).clamp(min=0).sqrt()
        return torch.where(scale > 0, (xy - x * y) / scale, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    names = shipped.residual_path()
    saes = {name: saematch.load(shipped.path(name), device=options.device) for name in names}
    pairs = list(itertools.pairwise(names))
    matchings: dict[tuple[str, str, str], Matching] = {}
    tallies: dict[tuple[str, str, str], PairCorrelation] = {}
    for a, b in pairs:
        for label, (method, arguments) in METHODS.items():
            found = saematch.match(saes[a], saes[b], method, null="none", **arguments)
            matchings[a, b, label] = found
            tallies[a, b, label] = PairCorrelation(found.target.cpu())
        tallies[a, b, "identity"] = PairCorrelation(torch.arange(saes[a].d_sae))
        order = torch.randperm(saes[b].d_sae, generator=torch.Generator().manual_seed(0))
        tallies[a, b, "random permutation"] = PairCorrelation(order)
    tokens = 0
    for found in feature_activations(saes, ("prose", "code", "reference"), options.device):
        tokens += len(found[names[0]])
        for (a, b, _), tally in tallies.items():
            tally.add(found[a], found[b])
    rows = []
    for (a, b, label), tally in tallies.items():
        counted = tally.fired >= 10
        if (a, b, label) in matchings:
            counted &= matchings[a, b, label].matched.cpu()
        value = tally.value()[counted]
        rows.append(
            {
                "pair": f"{a} -> {b}".replace("resid_", ""),
                "method": label,
                "features": int(counted.sum()),
                "mean r": float(value.mean()) if len(value) else None,
                "share r >= 0.5": float((value >= 0.5).double().mean()) if len(value) else None,
            }
        )
    frame = pl.DataFrame(rows)
    print(f"{tokens:,} held-out tokens\n")
    table = pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=200,
        tbl_formatting="MARKDOWN",
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        float_precision=3,
    )
    with table:
        print(frame.pivot("pair", index="method", values="mean r"))
        print()
        means = frame.group_by("method", maintain_order=True).agg(
            pl.col("features").mean(), pl.col("mean r").mean(), pl.col("share r >= 0.5").mean()
        )
        print(means)


if __name__ == "__main__":
    main()
