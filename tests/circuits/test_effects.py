"""Effects between features: of planted causes by hand, of random models by finite differences."""

import sys
from contextlib import nullcontext
from dataclasses import replace

import polars as pl
import pytest
import torch

from saematch import SaematchError
from saematch.circuits.effects import TOKENS, Effects, effects
from saematch.circuits.frozen import frozen_attention
from saematch.models.language_model import LanguageModel
from support.fixed_patterns import patterns_kept
from support.planted_causes import PROMPT, planted_model, planted_saes
from support.saes import make_sae
from support.small_models import CAUSAL, WIDTH, small, some_ids

pytest.importorskip("transformers")
EPS = 1e-5
KINDS = [
    pytest.param(name, marks=() if name in ("gpt2", "gemma2") else pytest.mark.slow)
    for name in CAUSAL
]


def hooks_of(saes):
    return {name: str(sae.conventions.site) for name, sae in saes.items()}


def found(model: LanguageModel, ids, saes, **options) -> Effects:
    fixed = torch.arange(len(ids)) == 0
    options = {"attention": "live", "read": ~fixed, "fixed": fixed, **options}
    return effects(model, ids, saes, hooks_of(saes), **options)


def node(of: Effects, position: int, **named) -> int:
    (number,) = of.nodes.filter(position=position, **named)["node"]
    return number


# planted causes


@pytest.fixture(scope="module")
def planted() -> Effects:
    return found(planted_model(), PROMPT, planted_saes())


def test_a_cause_is_told_from_what_only_comes_with_it(planted):
    a, c = (node(planted, 2, site="resid_post_0", feature=f) for f in (0, 1))
    b = node(planted, 2, site="resid_post_1", feature=0)
    # of 1.5 * A^2 / 2 - 0.5 the derivative with A = 2 is 3
    assert planted.matrix[b, a] == pytest.approx(2 * 3)
    assert planted.matrix[b, c] == 0
    assert planted.nodes["activation"][c] > planted.nodes["activation"][a]
    assert planted.value[b] == pytest.approx(1.5 * 2 - 0.5)


def test_effects_of_an_earlier_token_are_its_own(planted):
    d = node(planted, 2, site="resid_post_1", feature=1)
    before, here = (node(planted, t, site="resid_post_0", feature=0) for t in (1, 2))
    assert planted.matrix[d, before] == pytest.approx(0.5 * 2)
    assert planted.matrix[d, here] == 0
    # and nothing acts backward
    for t in (0, 1):
        earlier = planted.nodes.filter(pl.col("position") <= t)["node"].to_list()
        later = planted.nodes.filter(pl.col("position") > t)["node"].to_list()
        assert not planted.matrix[earlier][:, later].any()


def test_effects_on_logits_are_less_their_mean(planted):
    first, second = (node(planted, 2, kind="logit", word=w) for w in (0, 1))
    b, d, c = (node(planted, 2, site="resid_post_1", feature=f) for f in (0, 1, 3))
    # logit 2 B D, less a quarter of it; B writes 2.5 * 0.8 = 2, D writes 1
    assert planted.matrix[first, b] == pytest.approx(2 * 2 * 1 * 0.75)
    assert planted.matrix[first, d] == pytest.approx(1 * 2 * 2 * 0.75)
    assert planted.matrix[second, c] == pytest.approx(3 * 0.75)
    assert planted.matrix[first, c] == pytest.approx(-3 / 4)
    logits = torch.tensor([4.0, 3.0, 0.0, 0.0], dtype=torch.float64)
    assert planted.value[first] == pytest.approx(float(logits[0] - logits.mean()))
    chances = planted.nodes.filter(kind="logit")["probability"].to_list()
    assert chances == pytest.approx(logits.softmax(0)[:2].tolist())


def test_a_site_between_two_others_stands_in_the_way(planted):
    first = planted.nodes.filter(site="resid_post_0")["node"].to_list()
    logits = planted.nodes.filter(kind="logit")["node"].to_list()
    assert not planted.matrix[logits][:, first].any()
    # without it, A acts on the logit by B at its own token and by D from the one before
    alone = {"resid_post_0": planted_saes()["resid_post_0"]}
    direct = found(planted_model(), PROMPT, alone)
    here, before = (node(direct, t, site="resid_post_0", feature=0) for t in (2, 1))
    logit = node(direct, 2, kind="logit", word=0)
    assert direct.matrix[logit, here] == pytest.approx(0.75 * 2 * 2 * 2)  # A dB/dA, times D = 1
    assert direct.matrix[logit, before] == pytest.approx(0.75 * 2 * 2 * 0.5 * 2)


def test_tokens_are_the_bottom_and_errors_what_an_sae_misses(planted):
    a = node(planted, 2, site="resid_post_0", feature=0)
    assert planted.matrix[a, node(planted, 2, kind="token")] == pytest.approx(2)
    assert not planted.nodes.filter(kind="token", position=0).height  # BOS is constant
    errors = planted.nodes.filter(kind="error")["node"].to_list()
    assert not planted.matrix[:, errors].any()  # all is seen
    blind = planted_saes()
    # without the feature of A, what A does is the error's
    deaf = blind["resid_post_0"]
    blind["resid_post_0"] = replace(deaf, b_enc=torch.tensor([-9.0, 0.0], dtype=torch.float64))
    seen = found(planted_model(), PROMPT, blind)
    b = node(seen, 2, site="resid_post_1", feature=0)
    error = node(seen, 2, kind="error", site="resid_post_0")
    assert seen.matrix[b, error] == pytest.approx(6)


def test_tokens_that_do_not_count_are_error_alone():
    read = torch.tensor([False, False, True])
    seen = found(planted_model(), PROMPT, planted_saes(), read=read)
    assert seen.nodes.filter(kind="feature", position=1).is_empty()
    d = node(seen, 2, site="resid_post_1", feature=1)
    assert seen.matrix[d, node(seen, 1, kind="error", site="resid_post_0")] == pytest.approx(1)


# random models: every kind, in float64


@pytest.fixture(autouse=True)
def every_digit(monkeypatch):
    """Norms and softmax of transformers pass through float32, too coarse for differences."""
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(
        torch.nn.functional, "softmax", lambda x, dim=None, dtype=None: softmax(x, dim)
    )
    for name in CAUSAL:
        for part in small(name, torch.float64).model.modules():
            if type(part).__name__.endswith("RMSNorm"):
                monkeypatch.setattr(part, "forward", fine_norm(part))


def fine_norm(part):
    eps = getattr(part, "eps", None) or part.variance_epsilon
    ones = torch.ones(part.weight.shape, dtype=torch.float64)
    gain = (part.forward(ones) * (1 + eps) ** 0.5).detach()
    return lambda x: gain * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def saes_for(model: LanguageModel, *sites, normalisation="none"):
    """SAEs of some width at hook points, of which a few features are active at each token."""
    values = model.run(some_ids(), [f"blocks.{layer}.hook_{kind}" for kind, layer in sites])
    found = {}
    for n, (kind, layer) in enumerate(sites):
        sae = make_sae(WIDTH, 20, activation="relu", seed=n, layer=layer, kind=kind)
        scale = float(values[f"blocks.{layer}.hook_{kind}"].std())
        scale = 1.0 if normalisation != "none" else scale
        found[f"{kind}_{layer}"] = replace(
            sae,
            W_enc=sae.W_enc / scale / WIDTH**0.5,
            W_dec=sae.W_dec * scale / 8,
            b_dec=sae.b_dec * scale / 8,
            conventions=replace(sae.conventions, normalisation=normalisation, centred=True),
        )
    return {name: sae.to(dtype=torch.float64) for name, sae in found.items()}


def moved(model, ids, saes, of: Effects, source: int, by: float, attention=None):
    """All targets, with so much more of what one node writes and nothing else changed."""
    points = {TOKENS: "blocks.0.hook_resid_pre", **hooks_of(saes)}
    clean = model.cut(ids[None], points)
    values = {point: value.detach().clone() for point, value in clean.leaving.items()}
    site, t = of.nodes["site"][source], of.nodes["position"][source]
    if of.nodes["kind"][source] == "token":
        values[TOKENS][0, t] *= 1 + by
    else:
        sae, x = saes[site], values[site][0, t]
        f = sae.encode(x[None])[0]
        feature = of.nodes["feature"][source]
        if feature is not None:
            step = f[feature] * sae.W_dec[feature] * sae.scale(x[None])[0]
        else:
            step = x - f @ sae.W_dec * sae.scale(x[None])[0] - sae.b_dec * sae.scale(x[None])[0]
        values[site][0, t] = x + by * step
    return read(model.cut(ids[None], points, values), saes, of)


def read(cut, saes, of: Effects) -> torch.Tensor:
    """Every target, of the values that arrived."""
    value = torch.full((len(of.nodes),), torch.nan, dtype=torch.float64)
    for row in of.nodes.iter_rows(named=True):
        if row["kind"] == "feature":
            x = cut.arrived[row["site"]][0, row["position"]]
            value[row["node"]] = saes[row["site"]].pre_activations(x[None])[0, row["feature"]]
        elif row["kind"] == "logit":
            value[row["node"]] = cut.logits[0, row["word"]] - cut.logits[0].mean()
    return value.detach()


def slope(model, ids, saes, of, source) -> torch.Tensor:
    up, down = (moved(model, ids, saes, of, source, by) for by in (EPS, -EPS))
    return (up - down) / (2 * EPS)


def drawn(of: Effects, count: int, seed: int = 0) -> list[int]:
    """Some nodes that may act on others: tokens, features, errors."""
    nodes = of.nodes.filter(pl.col("kind") != "logit")
    some = nodes.group_by("kind", maintain_order=True).agg(
        pl.col("node").sample(count, seed=seed, with_replacement=True)
    )
    return sorted({*some["node"].explode().to_list()})


def agree(of: Effects, source: int, expected: torch.Tensor) -> None:
    targets = ~of.value.isnan()
    scale = of.matrix.abs().max()
    torch.testing.assert_close(
        of.matrix[targets, source], expected[targets], rtol=1e-6, atol=1e-7 * float(scale)
    )
    assert (of.matrix[:, source] != 0).any(), "nothing to compare"


STREAM = [("resid_post", 0), ("resid_post", 1), ("resid_post", 2)]
BESIDE = [("resid_post", 0), ("attn_out", 1), ("mlp_out", 1), ("resid_post", 1)]


@pytest.mark.parametrize("name", KINDS)
def test_finite_differences_agree_on_every_kind_of_model(name):
    model = small(name, torch.float64)
    ids = some_ids(1, 7)[0]
    saes = saes_for(model, *STREAM)
    of = found(model, ids, saes)
    for source in drawn(of, 2):
        agree(of, source, slope(model, ids, saes, of, source))


@pytest.mark.parametrize("sites", [BESIDE, [("resid_mid", 1), ("resid_post", 1)]])
def test_finite_differences_agree_where_paths_lead_past_a_site(sites):
    model = small("llama", torch.float64)
    ids = some_ids(1, 7)[0]
    saes = saes_for(model, *sites)
    of = found(model, ids, saes)
    for source in drawn(of, 3):
        agree(of, source, slope(model, ids, saes, of, source))


@pytest.mark.parametrize("normalisation", ["layer_norm", "constant_norm"])
def test_what_an_sae_does_to_its_inputs_is_part_of_the_effect(normalisation):
    model = small("llama", torch.float64)
    ids = some_ids(1, 7)[0]
    saes = saes_for(model, *STREAM, normalisation=normalisation)
    of = found(model, ids, saes)
    for source in drawn(of, 2):
        agree(of, source, slope(model, ids, saes, of, source))


@pytest.mark.parametrize("attention", ["live", "frozen"])
def test_effects_add_up_to_the_derivative_of_all_that_comes_in(attention):
    # all that leaves the sites scaled together; with frozen attention patterns are kept, too
    model = small("gpt2", torch.float64)
    ids = some_ids(1, 7)[0]
    saes = saes_for(model, *STREAM)
    of = found(model, ids, saes, attention=attention)
    points = {TOKENS: "blocks.0.hook_resid_pre", **hooks_of(saes)}

    def scaled(by: float) -> torch.Tensor:
        values = {p: (1 + by) * v.detach() for p, v in clean.leaving.items()}
        return read(model.cut(ids[None], points, values), saes, of)

    with patterns_kept(model) if attention == "frozen" else nullcontext():
        clean = model.cut(ids[None], points)
        expected = (scaled(EPS) - scaled(-EPS)) / (2 * EPS)
    targets = ~of.value.isnan()
    whole = of.matrix.sum(1) + of.constant
    torch.testing.assert_close(whole[targets], expected[targets], rtol=1e-6, atol=1e-6)
    assert of.constant[targets].abs().max() > 1e-3  # biases and BOS


def make_linear(model, monkeypatch):
    """No norms before attention, and no MLP."""
    for name, part in model.model.named_modules():
        if name.endswith("ln_1"):
            monkeypatch.setattr(part, "forward", lambda x: 0.2 * x)
        if name.endswith("mlp"):
            monkeypatch.setattr(part, "forward", torch.zeros_like)


def test_linear_blocks_leave_nothing_to_be_explained(monkeypatch):
    # with attention frozen, no norms and no MLP, pre-activations are effects plus constants
    model = small("gpt2", torch.float64)
    make_linear(model, monkeypatch)
    ids = some_ids(1, 7)[0]
    saes = saes_for(model, *STREAM)
    of = found(model, ids, saes, attention="frozen")
    points = {TOKENS: "blocks.0.hook_resid_pre", **hooks_of(saes)}
    # what is left of a pre-activation when nothing leaves any site: biases, the model's and its own
    with patterns_kept(model):
        clean = model.cut(ids[None], points)
        nothing = {point: 0 * value.detach() for point, value in clean.leaving.items()}
        without = read(model.cut(ids[None], points, nothing), saes, of)
    rows = of.nodes.filter(kind="feature")["node"].to_list()
    explained = of.value - without - of.constant
    torch.testing.assert_close(of.matrix.sum(1)[rows], explained[rows], rtol=1e-9, atol=1e-9)


def test_removing_a_feature_changes_the_target_by_its_effect_where_all_is_linear(monkeypatch):
    model = small("gpt2", torch.float64)
    make_linear(model, monkeypatch)
    ids = some_ids(1, 7)[0]
    saes = saes_for(model, *STREAM)
    of = found(model, ids, saes, attention="frozen")
    rows = of.nodes.filter(kind="feature")["node"].to_list()
    with patterns_kept(model):
        for source in drawn(of, 3):
            lost = of.value - moved(model, ids, saes, of, source, -1.0)
            later = [row for row in rows if row > source]
            torch.testing.assert_close(lost[later], of.matrix[later, source], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_frozen_patterns_are_those_of_the_prompt(name):
    model = small(name, torch.float64)
    ids = some_ids(1, 7)[0]
    saes = saes_for(model, *STREAM)
    frozen = found(model, ids, saes, attention="frozen")
    live = found(model, ids, saes, attention="live")
    assert (frozen.matrix - live.matrix).abs().max() > 1e-3
    torch.testing.assert_close(frozen.value, live.value, equal_nan=True)
    with patterns_kept(model):
        for source in drawn(frozen, 1):
            agree(frozen, source, slope(model, ids, saes, frozen, source))


def test_copies_and_batches_change_nothing():
    model = small("llama", torch.float64)
    ids = some_ids(1, 7)[0]
    saes = saes_for(model, *STREAM)
    one, many = (found(model, ids, saes, batch_tokens=n) for n in (1, 4096))
    assert one.nodes.equals(many.nodes)
    torch.testing.assert_close(one.matrix, many.matrix)


def test_models_of_16_bits_come_near():
    ids, exact = some_ids(1, 7)[0], small("llama", torch.float64)
    saes = saes_for(exact, *STREAM)
    fine = found(exact, ids, saes)
    rough = found(small("llama", torch.bfloat16), ids, saes)
    assert rough.matrix.dtype == torch.float32
    both = fine.nodes.join(
        rough.nodes.filter(pl.col("kind") != "logit"),
        on=["kind", "site", "feature", "position"],
        nulls_equal=True,
    )
    one, other = both["node"].to_list(), both["node_right"].to_list()
    a = fine.matrix[one][:, one].flatten()
    b = rough.matrix[other][:, other].flatten().double()
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.99


# attention


def test_attention_is_as_before_after_freezing_even_where_it_fails():
    model = small("llama", torch.float64)
    code = sys.modules[type(model.model).__module__]
    own = code.eager_attention_forward, code.ALL_ATTENTION_FUNCTIONS
    with frozen_attention(model.model):
        assert code.ALL_ATTENTION_FUNCTIONS is not own[1]
        model.cut(some_ids(1, 5), {TOKENS: "blocks.0.hook_resid_pre"})
    assert (code.eager_attention_forward, code.ALL_ATTENTION_FUNCTIONS) == own
    with pytest.raises(ZeroDivisionError), frozen_attention(model.model):
        _ = 1 / 0
    assert (code.eager_attention_forward, code.ALL_ATTENTION_FUNCTIONS) == own


def test_another_model_of_the_same_kind_is_not_frozen():
    model, other = small("llama", torch.float64), small("llama", torch.float32)
    points = {TOKENS: "blocks.0.hook_resid_pre"}

    def gradient():
        cut = other.cut(some_ids(1, 5), points)
        return torch.autograd.grad(cut.logits.sum(), cut.leaving[TOKENS])[0]

    free = gradient()
    with frozen_attention(model.model):
        model.cut(some_ids(1, 5), points)
        torch.testing.assert_close(gradient(), free)
    with frozen_attention(other.model):
        assert (gradient() - free).abs().max() > 1e-3


def test_a_model_whose_attention_is_its_own_affair_is_refused():
    with pytest.raises(SaematchError, match=r"cannot be frozen in blocks 0, 1, 2 .*live"):
        found(planted_model(), PROMPT, planted_saes(), attention="frozen")


def test_an_encoder_predicts_nothing():
    model = small("bert")
    with pytest.raises(SaematchError, match="no causal language model"):
        found(model, some_ids(1, 5)[0], saes_for(model, ("resid_post", 0)))
