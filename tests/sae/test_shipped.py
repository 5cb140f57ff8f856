"""The model and SAEs that ship: what the model card claims of them, measured again."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from saematch import CheckpointError, SaematchError, load, match
from saematch.matching.problem import pose
from saematch.runs.names import names_of
from saematch.sae import shipped

RESIDUAL = shipped.residual_path()
SMOLLM2 = shipped.smollm2_path()
METHODS = {
    "sae-match": {},
    "sae-match decoder": {"terms": "decoder"},
    "sae-match encoder": {"terms": "encoder"},
    "sae-match bias": {"bias": True},
    "sae-match unfolded": {"fold": "none"},
    "sae-match decoder-norm": {"fold": "decoder-norm"},
    "cosine": {},
    "paulo-belrose": {},
}


@pytest.fixture(scope="session")
def saes():
    return {name: load(f"saematch:{name}") for name in shipped.names()}


@pytest.fixture(scope="session")
def model():
    from transformers import AutoModelForCausalLM

    folder = shipped.folder() / "model"
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="session")
def tokens():
    """24 windows of 256 tokens, eight of each evaluation text, and BOS first."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(shipped.folder() / "model")
    rows = []
    for kind in ("prose", "code", "reference"):
        lines = (shipped.folder() / "texts" / f"{kind}.jsonl").read_text().splitlines()
        assert len(lines) >= 100
        encoded = [tokenizer.encode(json.loads(line)["text"])[:255] for line in lines]
        rows += [[tokenizer.bos_token_id, *ids] for ids in encoded if len(ids) == 255][:8]
    assert len(rows) == 24
    return torch.tensor(rows)


@pytest.fixture(scope="session")
def states(model, tokens):
    """Residual stream by hook, BOS left out: `(24 * 255, d_model)`."""
    found = {}

    def keep(name, value):
        found[name] = value[:, 1:].flatten(0, 1)

    blocks = model.transformer.h
    handles = [
        blocks[0].register_forward_pre_hook(
            lambda module, inputs: keep("blocks.0.hook_resid_pre", inputs[0])
        )
    ]
    for i, block in enumerate(blocks):
        handles.append(
            block.register_forward_hook(
                lambda module, inputs, out, i=i: keep(
                    f"blocks.{i}.hook_resid_post", out[0] if isinstance(out, tuple) else out
                )
            )
        )
    with torch.no_grad():
        model(tokens)
    for handle in handles:
        handle.remove()
    return found


def test_the_model_predicts_better_than_bigrams(model, tokens):
    with torch.no_grad():
        logits = model(tokens).logits[:, :-1].flatten(0, 1)
    loss = float(torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten()))
    figures = json.loads((shipped.folder() / "figures.json").read_text())
    bigram = np.mean([kind["bigram"] for kind in figures["losses"].values()])
    assert loss < bigram - 0.5


def test_everything_that_ships_stays_small():
    every = [p for p in shipped.folder().rglob("*") if p.is_file()]
    smollm2 = [p for p in every if p.is_relative_to(shipped.folder() / "smollm2")]
    assert sum(p.stat().st_size for p in smollm2) < 40e6
    assert sum(p.stat().st_size for p in every if p not in smollm2) < 25e6


def test_the_saes_of_smollm2_are_of_seven_consecutive_blocks(saes):
    for layer, name in enumerate(SMOLLM2, 10):
        sae = saes[name]
        assert str(sae.conventions.site) == f"blocks.{layer}.hook_resid_post"
        assert sae.conventions.model == "HuggingFaceTB/SmolLM2-135M-Instruct"
        assert (sae.d_in, sae.d_sae) == (576, 2048)
        assert sae.threshold_kind == "per feature"


def words_of(name: str) -> list[set[str]]:
    """Per feature, the words on which it fires most."""
    frame = pl.read_parquet(shipped.path(name) / "features.parquet")
    return [
        {context["token"].strip().casefold() for context in contexts[:5]}
        for contexts in frame["contexts"].to_list()
    ]


@pytest.mark.parametrize("place", [0, 3, 5])
def test_matched_features_of_smollm2_fire_on_the_same_words(saes, place):
    a, b = SMOLLM2[place], SMOLLM2[place + 1]
    found = match(saes[a], saes[b], "cosine")
    left, right, target = words_of(a), words_of(b), found.target.tolist()

    def sharing(features, targets) -> float:
        pairs = zip(features, targets, strict=True)
        return float(np.mean([bool(left[i] & right[target[j]]) for i, j in pairs]))

    matched = found.matched.nonzero().squeeze(1).tolist()
    rest = ((found.target >= 0) & ~found.matched).nonzero().squeeze(1).tolist()
    assert len(matched) > 0.7 * len(target)
    assert sharing(matched, matched) > 0.5
    assert sharing(rest, rest) < 0.25
    assert sharing(matched, np.random.default_rng(0).permutation(matched)) < 0.05


@pytest.mark.parametrize("name", RESIDUAL)
def test_residual_saes_explain_the_stream(name, saes, states):
    sae = saes[name]
    x = states[str(sae.conventions.site)]
    f = sae.encode(x)
    explained = 1 - (sae.decode(f) - x).pow(2).sum() / (x - x.mean(0)).pow(2).sum()
    assert explained > 0.8
    assert 10 < (f > 0).sum(1).float().mean() < 40
    assert sae.threshold_kind == "per feature"


@pytest.mark.parametrize("name", shipped.names())
def test_features_table_fits_the_sae(name, saes):
    frame = pl.read_parquet(shipped.path(name) / "features.parquet")
    sae = saes[name]
    assert frame["feature"].to_list() == list(range(sae.d_sae))
    assert (frame["frequency"] == 0).sum() < 0.05 * sae.d_sae
    assert sae.frequency is not None
    assert int(sae.excluded.sum()) == int((frame["frequency"] == 0).sum())
    alive = frame.filter(pl.col("frequency") > 0)
    best = alive["contexts"].list.first().struct.field("activation")
    assert np.allclose(best, alive["max_activation"], rtol=1e-5)


def test_seeds_differ_between_sites_and_saelens_agrees(saes, states, sae_lens):
    seeds = set()
    for name in shipped.names():
        config = json.loads((shipped.path(name) / "cfg.json").read_text())
        seeds.add(config["metadata"]["seed"])
    assert len(seeds) == len(shipped.names())
    for name in ("resid_post_3", "resid_post_3_topk"):
        theirs = sae_lens.SAE.load_from_disk(str(shipped.path(name)))
        x = states["blocks.3.hook_resid_post"][:500]
        with torch.no_grad():
            f = theirs.encode(x)
            torch.testing.assert_close(saes[name].encode(x), f, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(saes[name].decode(f), theirs.decode(f), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("label", METHODS)
def test_the_optimum_is_that_of_scipy(label, saes):
    a, b = saes["resid_post_2"], saes["resid_post_3"]
    found = match(a, b, label.split()[0], **METHODS[label])
    assert found.assignment is not None
    posed = pose(a, b, found.method)
    scores = posed.x.double() @ posed.y.double().T + posed.row_offset[:, None] + posed.column_offset
    rows, columns = linear_sum_assignment(scores.numpy(), maximize=True)
    best = float(scores.numpy()[rows, columns].sum())
    assert found.assignment.total == pytest.approx(best, rel=1e-9)
    assert found.assignment.optimal


def test_unequal_widths_match_every_feature_of_the_narrower(saes):
    wide = match(saes["resid_post_3"], saes["resid_post_3_wide"])
    usable = int((~saes["resid_post_3"].excluded).sum())
    assert int((wide.target >= 0).sum()) == usable
    assert 0.6 * usable < wide.n_matched < usable
    assert wide.relative_gap is not None
    assert wide.relative_gap < 1e-9


def activation_correlation(a, b, target: torch.Tensor, states) -> float:
    """Mean Pearson correlation of feature i of A and `target[i]` of B where i fired five times."""
    fa = a.encode(states[str(a.conventions.site)]).double()
    seen = ((fa > 0).sum(0) >= 5) & (target >= 0)
    fa = fa[:, seen]
    fb = b.encode(states[str(b.conventions.site)]).double()[:, target[seen]]
    fa, fb = fa - fa.mean(0), fb - fb.mean(0)
    scale = fa.norm(dim=0) * fb.norm(dim=0)
    return float(torch.where(scale > 0, (fa * fb).sum(0) / scale, 0.0).mean())


def test_matched_features_fire_together_and_identity_does_not(saes, states):
    a, b = saes["resid_post_2"], saes["resid_post_3"]
    found = match(a, b)
    assert activation_correlation(a, b, found.target, states) > 0.4
    assert activation_correlation(a, b, torch.arange(a.d_sae), states) < 0.05
    assert found.identity_share < 0.02
    # what is significant by weights is so by activations, which no method has seen
    beyond = activation_correlation(a, b, torch.where(found.matched, found.target, -1), states)
    rest = activation_correlation(a, b, torch.where(found.matched, -1, found.target), states)
    assert beyond > rest + 0.3


@pytest.mark.parametrize("method", ["sae-match", "cosine", "feature-flow"])
def test_a_rotated_copy_has_no_matches_and_the_embedding_next_to_none(method, saes):
    a, b = saes["resid_post_2"], saes["resid_post_3"]
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(b.d_in, b.d_in, generator=generator))[0]
    turned = dataclasses.replace(b, W_enc=turn.T @ b.W_enc, W_dec=b.W_dec @ turn)
    assert match(a, turned, method).n_matched <= 2
    assert match(a, b, method).n_matched > 0.5 * a.d_sae
    assert match(saes["resid_pre_0"], saes["resid_post_0"], method).n_matched <= 5


def test_an_unknown_shipped_name_lists_those_there_are():
    with pytest.raises(CheckpointError, match=r"no SAE 'resid_post_9'; it ships resid_pre_0"):
        load("saematch:resid_post_9")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "float16"}, "expected a floating one, such as torch.float32"),
        ({"dtype": torch.int64}, "expected a floating one"),
        ({"device": "nowhere"}, "no device 'nowhere' here"),
    ],
)
def test_bad_arguments_of_load_are_named(arguments, message):
    with pytest.raises(SaematchError, match=message):
        load("saematch:resid_post_3", **arguments)


def test_a_shipped_name_without_its_prefix_is_recognised():
    with pytest.raises(CheckpointError, match="did you mean saematch:resid_post_3"):
        load("resid_post_3")


def test_variants_of_a_site_keep_their_names(saes):
    names = ("resid_post_2", "resid_post_3_wide", "resid_post_3_seed2", "resid_post_3")
    assert tuple(names_of([saes[name] for name in names])) == names
