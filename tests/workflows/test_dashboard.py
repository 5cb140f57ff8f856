"""`saematch.dashboard`: the dashboards of a run, from texts and from stores."""

import polars as pl
import pytest
import torch

import saematch
from saematch.checkpoints import load
from saematch.errors import RunError, SaematchError
from saematch.models import open_model
from saematch.models.jacobian import mean_jacobians
from saematch.steering import logit_lens
from saematch.workflows.jacobians import LENGTH, SEQUENCES

pytest.importorskip("transformers")

SITES = ["saematch:resid_post_4", "saematch:resid_post_5", "saematch:mlp_out_3"]
SMALL = {"examples": 6, "length": 40}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    run = saematch.flow(SITES, method="cosine", null="none", out=folder / "run")
    texts = ["saematch:prose", "saematch:code"]
    return saematch.dashboard(run, "saematch:model", texts, carried=True, **SMALL)


def test_there_is_a_row_for_every_feature_and_a_table_of_every_pair(made):
    section = made.section("dashboards")
    assert section is not None
    assert list(section.tables) == [*made.names, *(f"{a}--{b}" for a, b in made.pairs)]
    assert [some.name for some in section.texts] == ["saematch:prose", "saematch:code"]
    assert section.model == "saematch:model"
    for name in made.names:
        table = made.table("dashboards", name)
        assert len(table) == made.sae(name).d_sae
        fired = table.filter(pl.col("max_activation") > 0)
        assert len(fired) > 0
        assert fired["quantiles"].list.len().unique().to_list() == [6]
        assert table["frequency"].list.len().unique().to_list() == [2]
    for a, b in made.pairs:
        table = made.table("dashboards", f"{a}--{b}")
        assert len(table) == made.pair(a, b)["target"].count()


def test_logits_are_those_of_the_model(made):
    model = open_model("saematch:model")
    sae, name = load(SITES[0]), made.names[0]
    rows = sae.W_dec[:4] * 1000
    centred = sae.W_dec[:4] - sae.W_dec[:4].mean(1, keepdim=True)
    size = centred.square().mean(1, keepdim=True).sqrt()

    def logits(rows, size):
        lens = (logit_lens(model, rows) - logit_lens(model, -rows)) / 2 * size
        return lens - lens.mean(1, keepdim=True)

    table = made.table("dashboards", name)
    plain = logits(rows, size)
    jacobian = mean_jacobians(
        model,
        "blocks.4.hook_resid_post",
        ["blocks.5.hook_resid_post"],
        saematch.models.random_tokens(model, SEQUENCES, LENGTH),
    )["blocks.5.hook_resid_post"]
    arrived = jacobian.carried(sae.W_dec[:4])
    size = (arrived - arrived.mean(1, keepdim=True)).square().mean(1, keepdim=True).sqrt()
    carried = logits(arrived * 1000, size)
    for expected, kind in ((plain, "logits"), (carried, "carried")):
        for i in range(4):
            for side, largest in (("top", True), ("bottom", False)):
                values = expected[i].topk(10, largest=largest).values
                told = torch.tensor([one["logit"] for one in table[f"{kind}_{side}"][i]])
                torch.testing.assert_close(told, values, rtol=2e-3, atol=2e-3)
    # nothing lies between the last layer and the logits
    last = made.table("dashboards", made.names[1])
    assert last["carried_top"].equals(last["logits_top"], check_names=False)


def test_called_again_it_goes_on_where_it_stopped(made, monkeypatch):
    name = made.names[0]
    before = made.table("dashboards", name)
    (made.path / "dashboards" / f"{name}.parquet").unlink()
    shard = made.path / "evidence" / "dashboards" / "00" / name / "00000.parquet"
    read = shard.stat().st_mtime_ns
    kept = (made.path / "dashboards" / f"{made.names[1]}.parquet").stat().st_mtime_ns
    texts = ["saematch:prose", "saematch:code"]
    again = saematch.dashboard(made.path, "saematch:model", texts, carried=True, **SMALL)
    assert again.table("dashboards", name).equals(before)
    assert (made.path / "dashboards" / f"{made.names[1]}.parquet").stat().st_mtime_ns == kept
    assert shard.stat().st_mtime_ns == read  # the texts were not read anew
    with pytest.raises(RunError, match="has other dashboards"):
        saematch.dashboard(made.path, "saematch:model", "saematch:prose", **SMALL)


def test_a_store_does_in_place_of_texts(tmp_path, made):
    store = saematch.capture(SITES, "saematch:model", "saematch:prose", **SMALL)
    run = saematch.flow(SITES[:2], method="cosine", null="none", out=tmp_path / "run")
    found = saematch.dashboard(run, activations=store)
    name = found.names[0]
    table = found.table("dashboards", name)
    assert table["logits_top"].null_count() == len(table)
    prose = made.table("dashboards", name)["frequency"].list.first()
    assert table["frequency"].list.first().equals(prose)
    over = saematch.dashboard(run.path, "saematch:model", activations=[store], overwrite=True)
    assert over.table("dashboards", name)["logits_top"].null_count() == 0
    section = over.section("dashboards")
    assert section is not None
    assert section.model == "saematch:model"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give the one or the other"),
        ({"model": "saematch:model"}, "give the one or the other"),
        ({"text": "saematch:prose"}, "give the one or the other"),
        ({"text": "saematch:prose", "activations": "x", "model": "saematch:model"}, "the one or"),
        ({"activations": "x", "carried": True}, "carried by a model"),
        ({"text": ["a.txt", "a.txt"], "model": "saematch:model"}, "a.txt is given twice"),
        ({"activations": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_be_is_refused(made, options, said):
    with pytest.raises(SaematchError, match=said):
        saematch.dashboard(made.path, **options)
