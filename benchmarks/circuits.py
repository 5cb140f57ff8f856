r"""Effects on a prompt against finite differences and ablation, and what a circuit keeps.

    python -m benchmarks.circuits saematch:model 'saematch:resid_post_{0-5}' \
        --prompt 'import numpy as np'
    python -m benchmarks.circuits SmolLM2-135M-Instruct 'saematch:smollm2/resid_post_{10-16}' \
        --prompt 'The Eiffel Tower is in the city of'

- `differences`: effects of some nodes on all targets, the model in float64, against central
  differences: as the model is, and with attention's patterns kept.
- `ablation, direct`: a feature is removed at its token and everything that leaves the other sites
  stays; what the later pre-activations and logits lose, beside the effects.
- `ablation, total`: it is removed and the model runs on; what the likeliest logit loses, beside the
  sum over all paths of features of the product of effects, each per unit of its source, and
  beside the gradient of that logit with nothing cut.
- `influence`: of the features that were removed, beside what all logits lose, by size.
- `kept`: how much is left at several shares, and the figures of the whole graph.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

import saematch
from saematch import SAE
from saematch.circuits.circuit import roles_of
from saematch.circuits.effects import TOKENS, Attention, Effects, effects
from saematch.circuits.making import prompt_tokens
from saematch.circuits.pruning import Pruned, prune
from saematch.models.hook_points import site_of
from saematch.models.language_model import LanguageModel
from saematch.models.opening import open_model

STEP = 1e-4
SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass
class World:
    """A model, SAEs on it, and a prompt."""

    model: LanguageModel
    saes: dict[str, SAE]
    ids: Tensor

    @property
    def hooks(self) -> dict[str, str]:
        return {name: site_of(sae).hook for name, sae in self.saes.items()}

    @property
    def points(self) -> dict[str, str]:
        return {TOKENS: "blocks.0.hook_resid_pre", **self.hooks}

    def effects(self, attention: Attention) -> Effects:
        fixed = torch.arange(len(self.ids)) == 0
        return effects(
            self.model,
            self.ids,
            self.saes,
            self.hooks,
            read=~fixed,
            fixed=fixed,
            attention=attention,
        )

    def moved(self, of: Effects, sources: list[int], by: float, held: bool = True) -> Tensor:
        """Targets (sources, nodes) with so much more of what each node writes.

        `held`: what leaves all other sites is as on the prompt; else the model runs on.
        """
        points = self.points
        clean = self.model.cut(self.ids[None], points)
        found = []
        for source in sources:
            row = of.nodes.row(source, named=True)
            site = row["site"] or TOKENS
            x = clean.leaving[site].detach().clone()
            x[0, row["position"]] += by * self.written(of, row, x[0, row["position"]])
            values = {p: v.detach() for p, v in clean.leaving.items()} | {site: x}
            if held:
                cut = self.model.cut(self.ids[None], points, values)
            else:
                cut = self.model.cut(self.ids[None], {site: points[site]}, {site: x})
            found.append(self.read(of, cut.arrived, cut.logits))
        return torch.stack(found)

    def gradients(self, of: Effects, sources: list[int]) -> Tensor:
        """To first order, what the likeliest logit loses without each feature; nothing is cut."""
        found = []
        last = of.nodes.filter(kind="logit")["word"][0]
        slopes = {}
        for site, hook in self.hooks.items():
            cut = self.model.cut(self.ids[None], {site: hook})
            target = cut.logits[0, last] - cut.logits[0].mean()
            (slopes[site],) = torch.autograd.grad(target, cut.leaving[site])
        for source in sources:
            row = of.nodes.row(source, named=True)
            slope = slopes[row["site"]][0, row["position"]]
            found.append(slope @ self.written(of, row, torch.zeros_like(slope)))
        return torch.stack(found)

    def written(self, of: Effects, row: dict, x: Tensor) -> Tensor:
        if row["kind"] == "token":
            return x
        sae = self.saes[row["site"]]
        scale = sae.scale(x[None])[0].to(x)
        if row["kind"] == "feature":
            return (row["activation"] * sae.W_dec[row["feature"]]).to(x) * scale
        f = sae.encode(x[None])[0].to(x)
        return x - (f @ sae.W_dec.to(x) + sae.b_dec.to(x)) * scale

    def read(self, of: Effects, arrived: Mapping[str, Tensor], logits: Tensor) -> Tensor:
        value = torch.full((len(of.nodes),), torch.nan, dtype=of.value.dtype)
        features = of.nodes.filter(kind="feature")
        for (site,), some in features.group_by(["site"]):
            if site in arrived:
                x = arrived[site][0].detach()
                pre = self.saes[site].pre_activations(x)
                at = some["position"].to_torch(), some["feature"].to_torch()
                value[some["node"].to_torch()] = pre[at].to(value)
        last = of.nodes.filter(kind="logit")
        logits = logits[0].detach().to(value)
        value[last["node"].to_torch()] = logits[last["word"].to_torch()] - logits.mean()
        return value


def opened(model: str, patterns: list[str], prompt: str, dtype: torch.dtype) -> World:
    language = open_model(model, dtype=dtype)
    saes = {}
    for name in (name for pattern in patterns for name in saematch.expand(pattern)):
        sae = saematch.load(name)
        saes[str(site_of(sae).hook)] = sae.to(dtype=dtype)
    return World(language, saes, prompt_tokens(prompt, language))


def fine_norms(model: LanguageModel) -> None:
    """RMS norms in the model's precision: transformers' go through float32."""
    norms: list[Any] = [
        part for part in model.model.modules() if type(part).__name__.endswith("RMSNorm")
    ]
    for part in norms:
        eps = getattr(part, "eps", None) or part.variance_epsilon
        gain = part.weight.detach()
        part.forward = lambda x, g=gain, e=eps: (
            g * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + e)
        )


def drawn(of: Effects, count: int, kinds: tuple[str, ...], seed: int = 0) -> list[int]:
    """Nodes at random, as many of each site; none of the last, whose targets are logits alone."""
    rng = np.random.default_rng(seed)
    sites = of.sites
    some = []
    for site in (None, *sites):
        there = of.nodes.filter(pl.col("site").eq_missing(site), pl.col("kind").is_in(kinds))
        nodes = there["node"].to_numpy()
        take = min(len(nodes), count // len(sites))
        some += rng.choice(nodes, take, replace=False).tolist()
    return sorted(some)


def differences(world: World, count: int) -> Iterator[str]:
    of = world.effects("live")
    sources = drawn(of, count, ("token", "feature", "error"))
    up, down = (world.moved(of, sources, by) for by in (STEP, -STEP))
    slope = ((up - down) / (2 * STEP)).T
    effect = of.matrix[:, sources]
    there = ~slope.isnan() & (effect != 0)
    far = (effect - slope)[there].abs() / effect[there].abs().clamp(min=1e-3)
    yield (
        f"differences, {len(sources)} nodes, {int(there.sum()):,} effects: relative, median "
        f"{far.median():.1e}, largest {far.max():.1e}"
    )


def compared(name: str, effect: Tensor, lost: Tensor, kept: Tensor | None = None) -> str:
    there = (effect != 0) & ~lost.isnan()
    if kept is not None:
        there &= kept
    a, b = effect[there].double(), lost[there].double()
    near = float(torch.corrcoef(torch.stack([a, b]))[0, 1])
    ranks = torch.stack([a.argsort().argsort(), b.argsort().argsort()]).double()
    ranked = float(torch.corrcoef(ranks)[0, 1])
    sign = float((a.sign() == b.sign()).double().mean())
    by_size = float(((a.sign() == b.sign()) * b.abs()).sum() / b.abs().sum())
    slope = float((a * b).sum() / (a * a).sum())
    return (
        f"{name}: {int(there.sum()):,} pairs, correlation {near:.3f} (of ranks "
        f"{ranked:.3f}), same sign {sign:.3f} "
        f"(by size {by_size:.3f}), lost per effect {slope:.2f}"
    )


def ablation(world: World, count: int) -> Iterator[str]:
    found = {attention: world.effects(attention) for attention in ("frozen", "live")}
    of = found["live"]
    sources = drawn(of, count, ("feature",))
    lost = (of.value[None] - world.moved(of, sources, -1.0)).T
    total = (of.value[None] - world.moved(of, sources, -1.0, held=False)).T
    for attention, its in found.items():
        effect = its.matrix[:, sources]
        kept = prune(its.matrix, roles_of(its))
        edges = torch.zeros_like(its.matrix, dtype=torch.bool)
        edges[kept.edges[:, 0], kept.edges[:, 1]] = True
        yield compared(f"ablation, direct, {attention}", effect, lost)
        yield compared(f"  edges of the circuit, {attention}", effect, lost, edges[:, sources])
        top = its.nodes.filter(kind="logit")["node"][0]
        weight = its.nodes.filter(kind="logit")["probability"].to_torch().to(total)
        logits = its.nodes.filter(kind="logit")["node"].to_list()
        yield mattered(attention, kept, sources, weight @ total[logits].abs() / weight.sum())
        paths = _paths(its, top)[sources]
        yield compared(f"ablation, total, on the likeliest logit, {attention}", paths, total[top])
    top = of.nodes.filter(kind="logit")["node"][0]
    slopes = world.gradients(of, sources)
    yield compared("  the whole model's gradient in place of paths", slopes, total[top])
    yield compared("  and paths beside that gradient, live", slopes, _paths(of, top)[sources])


def mattered(attention: str, kept: Pruned, sources: list[int], lost: Tensor) -> str:
    """Whether removing what has much influence changes the logits much: `lost`, mean of sizes."""
    influence = kept.influence[sources].double()
    ranks = torch.stack([influence.argsort().argsort(), lost.argsort().argsort()]).double()
    inside = torch.isin(torch.tensor(sources), kept.nodes)
    return (
        f"influence beside what the logits lose, {attention}: correlation of ranks "
        f"{torch.corrcoef(ranks)[0, 1]:.3f}; lost without one of {int(inside.sum())} kept "
        f"{lost[inside].mean():.3f}, of {int((~inside).sum())} others {lost[~inside].mean():.3f}"
    )


def _paths(of: Effects, target: int) -> Tensor:
    """The sum over all paths of features to a target of the product of what each adds to the next.

    A feature writes as much as its activation; what its pre-activation gains, it gains.
    """
    features = (of.nodes["kind"] == "feature").to_torch()
    activation = of.nodes["activation"].fill_null(1.0).to_torch().to(of.matrix)
    per_unit = torch.where(features, of.matrix / activation, torch.zeros_like(of.matrix))
    step = per_unit[target]
    found = step.clone()
    while step.any():
        step = step @ per_unit
        found += step
    return found * activation


def kept(world: World) -> Iterator[str]:
    for attention in ("frozen", "live"):
        begin = time.perf_counter()
        of = world.effects(attention)
        seconds = time.perf_counter() - begin
        whole = None
        for share in SHARES:
            begin = time.perf_counter()
            whole = prune(of.matrix, roles_of(of), share)
            yield (
                f"kept, {attention}, nodes {share:g}: {len(whole.nodes):,} of {len(of.nodes):,} "
                f"nodes, {len(whole.edges):,} edges ({time.perf_counter() - begin:.1f} s)"
            )
        assert whole is not None
        yield (
            f"whole graph, {attention}: completeness {whole.completeness:.3f}, replacement "
            f"{whole.replacement:.3f}, {int((of.matrix != 0).sum()):,} effects, {seconds:.1f} s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("model")
    parser.add_argument("saes", nargs="+")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--sources", type=int, default=140, help="features that are removed")
    parser.add_argument("--differences", type=int, default=28, help="nodes in float64; 0: none")
    options = parser.parse_args()
    world = opened(options.model, options.saes, options.prompt, torch.float32)
    print(f"{len(world.ids)} tokens, {len(world.saes)} SAEs", flush=True)
    for line in chain(kept(world), ablation(world, options.sources)):
        print(line, flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{memory:.2f} GiB at most", flush=True)
    if options.differences:
        world = opened(options.model, options.saes, options.prompt, torch.float64)
        fine_norms(world.model)
        for line in differences(world, options.differences):
            print(line, flush=True)


if __name__ == "__main__":
    main()
