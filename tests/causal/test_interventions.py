"""Removed, exchanged and whole tracks, on a model in which it is known what causes what.

Where the model's tokens have A = 2 and C = 3, B is 1.5 * 2 - 0.5 = 2.5, D is what A was one token
before, halved; the first word's logit is 2 B' D' with B' = 0.8 B and D' = D, the second's is C.
"""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from saematch import SaematchError
from saematch.causal.bench import Bench
from saematch.causal.deactivation import CEILING, RANDOM, Step, deactivation
from saematch.causal.edits import Put, Remove, Several, drawn
from saematch.causal.joint import joint
from saematch.causal.reading import Reading, batched
from saematch.causal.substitution import equivalence, substitution
from support.planted_causes import planted_model, planted_saes

pytest.importorskip("transformers")
A, C = 0, 1
B, D, A_LATER, C_LATER = range(4)
ONE, OTHER = "resid_post_0", "resid_post_1"
LOGITS = {True: [4.0, 3.0, 0.0, 0.0], False: [0.0, 3.0, 0.0, 0.0]}  # with B and without


def divergence(own, new) -> float:
    p, q = (np.exp(x) / np.exp(x).sum() for x in (np.array(own), np.array(new)))
    return float((p * np.log(p / q)).sum())


WITHOUT_B = divergence(LOGITS[True], LOGITS[False])


@pytest.fixture(scope="module")
def bench() -> Bench:
    model, saes = planted_model(), planted_saes()
    # the second of a text is the first token that anything can have caused
    texts = [np.array([0, *[1] * length]) for length in (6, 4, 7)]
    texts = [np.ma.MaskedArray(ids, [False, True, *[False] * (len(ids) - 2)]) for ids in texts]
    reading = Reading.of(model, saes, texts)
    for active in reading.active.values():
        second = np.flatnonzero(reading.position == 1)
        for token in second:
            active.matrix.data[active.matrix.indptr[token] : active.matrix.indptr[token + 1]] = 0
        active.matrix.eliminate_zeros()
    return Bench(model, saes, reading, batch_tokens=16)


def tried(bench, methods) -> pl.DataFrame:
    known = {name: np.array(sources)[:, None] for name, sources in methods.items()}
    return deactivation(bench, Step((ONE,), OTHER), {ONE: known}, 4)


def rows(found, feature, method, control=False) -> dict:
    (row,) = found.filter(feature=feature, method=method, control=control).to_dicts()
    return row


def test_removing_a_cause_silences_and_removing_what_comes_with_it_does_not(bench):
    found = tried(bench, {"causes": [A, A, A, C], "company": [C, C, C, A]})
    caused, company = (rows(found, B, method) for method in ("causes", "company"))
    assert (caused["before"], caused["after"], caused["pre_after"]) == (2.5, 0, -0.5)
    assert (caused["size"], caused["sources"], caused["active"]) == (2, [A], 1)
    assert (company["before"], company["after"]) == (2.5, 2.5)
    # D rests on the token before, which stays as it is
    assert rows(found, D, "causes")["after"] == 1
    assert rows(found, C_LATER, "causes")["after"] == 0


def test_a_control_removes_as_much_along_another_feature(bench):
    found = tried(bench, {"causes": [A, A, A, C], "company": [C, C, C, A]})
    # 2 along C in place of A; and 3 along A in place of C, which leaves A at -1
    assert rows(found, B, "causes", control=True)["after"] == 2.5
    left = rows(found, B, "company", control=True)
    assert left["pre_after"] == pytest.approx(1.5 * 0.5 * 1 - 0.5)
    assert left["size"] == 3


def test_the_ceiling_is_found_by_trying_every_feature(bench):
    found = tried(bench, {"none": [-1] * 4})
    assert rows(found, B, CEILING)["sources"] == [A]
    assert rows(found, C_LATER, CEILING)["sources"] == [C]
    nothing = rows(found, B, "none")
    assert (nothing["sources"], nothing["size"], nothing["after"]) == ([], 0, 2.5)
    assert rows(found, B, RANDOM)["sources"] in ([A], [C])


def test_several_features_are_removed_at_once(bench):
    both = {"both": np.array([[A, C]] * 4)}
    found = deactivation(bench, Step((ONE,), OTHER), {ONE: both}, 4)
    row = rows(found, C_LATER, "both")
    assert row["after"] == 0
    assert row["active"] == 2
    assert row["size"] == pytest.approx(math.hypot(2, 3))


def replaced(bench, partners) -> pl.DataFrame:
    known = {name: np.array(targets) for name, targets in partners.items()}
    found = substitution(bench, ONE, OTHER, known, bench.reading, 2, windows=2, after=1)
    return found.with_columns(equivalence=equivalence())


def test_a_partner_that_is_caused_restores_what_removing_took(bench):
    found = replaced(bench, {"right": [B, C_LATER], "company": [C_LATER, B], "none": [-1, -1]})
    right, company, none = (
        found.filter(source=A, method=method).to_dicts()[0]
        for method in ("right", "company", "none")
    )
    assert right["tokens"] == right["windows"] == 2
    assert right["removed"] == pytest.approx(2 * WITHOUT_B, rel=1e-5)
    assert right["substituted"] == pytest.approx(0, abs=1e-6)
    assert right["equivalence"] == pytest.approx(1, abs=1e-5)
    # C stands there already, at what it typically has for an A of 2
    assert company["substituted"] == pytest.approx(company["removed"], rel=1e-5)
    assert company["equivalence"] == pytest.approx(0, abs=1e-5)
    assert (none["target"], none["substituted"], none["equivalence"]) == (None, None, 0)


def test_what_is_removed_elsewhere_is_read_by_itself(bench):
    found = replaced(bench, {"right": [B, C_LATER]})
    row = found.filter(source=A, method="right").to_dicts()[0]
    assert row["target_removed"] == pytest.approx(2 * WITHOUT_B, rel=1e-5)
    of_c = found.filter(source=C, method="right").to_dicts()[0]
    without_c = divergence(LOGITS[True], [4.0, 0.0, 0.0, 0.0])
    assert of_c["removed"] == pytest.approx(2 * without_c, rel=1e-5)
    assert of_c["equivalence"] == pytest.approx(1, abs=1e-5)


def test_at_one_hook_point_a_partner_takes_the_place_in_one_step(bench):
    saes = {**bench.saes, "again": replace(bench.saes[ONE], W_dec=bench.saes[ONE].W_dec.clone())}
    texts = bench.reading.examples
    same = Bench(bench.model, saes, Reading.of(bench.model, saes, texts), batch_tokens=16)
    found = substitution(
        same, ONE, "again", {"itself": np.array([0, 1])}, same.reading, 2, 2, 1
    ).with_columns(equivalence=equivalence())
    # A's effect at the first token of a text is nothing, and so is what replaces it
    own = found.filter(pl.col("method") == "itself", pl.col("removed") > 0.1)
    assert len(own)
    assert own["equivalence"].to_list() == pytest.approx([1.0] * len(own), abs=1e-5)


def test_a_track_is_no_more_than_its_first_member_where_that_causes_the_rest(bench):
    causes = (7, [(ONE, A), (OTHER, B)])
    company = (8, [(ONE, A), (OTHER, A_LATER)])
    found = joint(bench, [causes, company], windows=2, after=1)
    one, other = found.to_dicts()
    assert (one["track"], one["start"], one["feature"], one["length"]) == (7, ONE, A, 2)
    for row, alone in ((one, 2), (other, 1)):
        assert row["together"] == pytest.approx(2 * WITHOUT_B, rel=1e-5)
        assert row["alone"] == pytest.approx(alone * row["together"], rel=1e-5)
        assert row["largest"] == pytest.approx(row["together"], rel=1e-5)


def test_edits_meet_what_earlier_ones_left(bench):
    ids = torch.tensor([[0, 1, 1]])
    last = torch.tensor([[False, False, True]])
    saes, model = bench.saes, bench.model
    hooks = [bench.hook(name) for name in (ONE, OTHER)]
    later = Remove(saes[OTHER], torch.tensor([[B]]), last)
    model.run(ids, [hooks[1]], replace={hooks[0]: Remove(saes[ONE], torch.tensor([[A]]), last)})
    model.losses(
        ids,
        replace={hooks[0]: Remove(saes[ONE], torch.tensor([[A]]), last), hooks[1]: later},
    )
    assert later.sizes.sum() == 0
    model.losses(ids, replace={hooks[1]: later})
    assert later.sizes[0, 2] == pytest.approx(0.8 * 2.5)


def test_a_feature_is_given_an_activation_whatever_it_has(bench):
    sae = bench.saes[ONE]
    where = torch.tensor([[True, True]])
    put = Put(sae, torch.tensor([A]), where, torch.tensor([[5.0, 0.0]]))
    value = torch.zeros(1, 2, 8, dtype=torch.float64)
    value[0, :, 0] = 2.0
    assert put(value, {})[0, :, 0].tolist() == [5, 0]
    remove = Remove(sae, torch.tensor([[A]]), where)
    assert Several((remove, put))(value, {})[0, :, 0].tolist() == [5, 0]
    assert value[0, :, 0].tolist() == [2, 2]


def test_draws_are_of_what_fires_and_of_nothing_else():
    active = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    but = torch.tensor([[0], [0], [-1]])
    random = torch.Generator().manual_seed(0)
    assert drawn(active, but, random).tolist() == [1, -1, -1]
    seen = {int(drawn(active[:1], torch.tensor([[-1]]), random)) for _ in range(30)}
    assert seen == {0, 1}


def test_batches_hold_every_window_once(bench):
    windows = [w for feature in (A, C) for w in bench.windows(ONE, feature, 3, 2)]
    found = [*batched(bench.reading.examples, windows, torch.device("cpu"), 12)]
    assert sorted(np.concatenate([some.places for some in found]).tolist()) == [*range(6)]
    for some in found:
        for row, place in enumerate(some.places.tolist()):
            window = windows[place]
            ids = np.ma.getdata(bench.reading.examples[window.example])
            assert some.before[row][some.before_mask[row]].tolist() == ids[: window.start].tolist()
            assert (
                some.ids[row][some.mask[row]].tolist() == ids[window.start : window.stop].tolist()
            )


def test_transcoders_are_refused(bench):
    sae = bench.saes[ONE]
    site = replace(sae.conventions.site, hook_out="blocks.1.hook_mlp_out")
    other = replace(sae, conventions=replace(sae.conventions, site=site))
    with pytest.raises(SaematchError, match="transcoder"):
        replace(bench, saes={ONE: other}).hook(ONE)
