"""A package of somebody else: one of each thing that can be added."""

import torch

from saematch import Method, View
from saematch.checkpoints import Family
from saematch.checkpoints.canonical import Weights
from saematch.judging import Verdict
from saematch.matching import Vectors


def reads_alike(bias_weight: float = 0.0) -> Method:
    """One-to-one assignment of largest encoder cosine, plus the product of both biases."""
    views = [View("encoder", normalised=True)]
    if bias_weight:
        views.append(View("both-biases", weight=bias_weight))
    return Method("reads-alike", tuple(views))


def _both_biases(sae, activations):
    return torch.stack([sae.b_enc, sae.W_dec @ sae.b_dec], dim=1)


BOTH_BIASES = Vectors("b_enc, and b_dec along the decoder", _both_biases)


def _read(checkpoint):
    d_sae, d_in = checkpoint.size("example.bias"), checkpoint.size("example.centre")
    weights = Weights(
        W_enc=checkpoint.read("example.down", d_sae, d_in).T,
        W_dec=checkpoint.read("example.up", d_sae, d_in),
        b_enc=checkpoint.read("example.bias", d_sae),
        b_dec=checkpoint.read("example.centre", d_in),
    )
    site = checkpoint.stream_site()
    return weights.sae(
        checkpoint.conventions("example", "example.up", activation="relu", site=site)
    )


FAMILY = Family(lambda checkpoint: checkpoint.has("example.up", "example.down"), _read)


def halfway(a, b, fit, pairs):
    """Half of x_a, half of the mean of x_b."""
    return lambda states: (states.x_a + fit.mean.to(states.x_a)) / 2


def same_number(cases, setting):
    """Features of one index are the same: always wrong, but for SAEs of one seed."""
    return [Verdict(3, 1.0) if c.a.number == c.b.number else Verdict(1, 0.0) for c in cases]


def targets(run):
    """How many features have a target, by pair."""
    import plotly.graph_objects as go

    from saematch.plots import Missing

    if not run.pairs:
        raise Missing("no pair is matched")
    counts = {f"{a} to {b}": run.pair(a, b)["target"].count() for a, b in run.pairs}
    return {"targets": go.Figure(go.Bar(x=list(counts), y=list(counts.values())))}
