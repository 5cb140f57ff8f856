"""What other packages add: a plug-in with one of each, taken all the way, and what is refused."""

import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import save_file

import saematch
from saematch import METHODS, VIEWS, MatchError, Method, Run, SaematchError, View
from saematch.checkpoints import FAMILIES
from saematch.evaluation import ESTIMATES, EvaluationOptions, evaluate_matchings, evaluate_run
from saematch.judging import JUDGES, Case, Feature, Setting
from saematch.plots import FIGURES, figures
from support.saes import make_sae, permuted
from support.small_model import CYCLE, SmallModel, at, examples

PLUGINS = Path(__file__).parent / "plugins"
EVERY = (METHODS, VIEWS, FAMILIES, ESTIMATES, JUDGES, FIGURES)


@pytest.fixture(autouse=True)
def as_new(monkeypatch):
    """Nothing was registered or looked for yet, and nothing of this test will be."""
    for registry in EVERY:
        monkeypatch.setattr(registry, "_added", {})
        monkeypatch.setattr(registry, "_found", None)


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.syspath_prepend(PLUGINS)


@pytest.fixture(scope="module")
def pair():
    a = make_sae()
    return at(a, 0), at(permuted(a, CYCLE), 1)


def test_a_plug_in_is_found_by_its_entry_points(installed):
    assert [registry.added for registry in EVERY] == [
        ["reads-alike"],
        ["both-biases"],
        ["example"],
        ["halfway"],
        ["same-number"],
        ["targets"],
    ]
    assert [*METHODS][-1] == "reads-alike"


def test_without_it_there_is_nothing_of_it():
    assert [registry.added for registry in EVERY] == [[], [], [], [], [], []]


def test_a_judge_of_a_plug_in_judges(installed):
    one, other = Feature("x", 3), Feature("y", 4)
    cases = [Case(one, Feature("y", 3), "match", 0, 0), Case(one, other, "match", 0, 0)]
    judge = JUDGES["same-number"]
    assert [verdict.grade for verdict in judge(cases, Setting(None))] == [3, 1]  # pyright: ignore


def test_a_method_of_a_plug_in_matches(installed, pair):
    found = saematch.match(pair[0], pair[1], "reads-alike", null="none")
    assert torch.equal(found.target, CYCLE)
    unit = [sae.W_enc / sae.W_enc.norm(dim=0) for sae in pair]
    cosine = (unit[0] * unit[1][:, CYCLE]).sum(0)
    torch.testing.assert_close(found.score.float(), cosine, rtol=1e-5, atol=1e-5)
    with_bias = saematch.match(pair[0], pair[1], "reads-alike", bias_weight=0.5, null="none")
    assert str(with_bias.method) == "reads-alike (unit-encoder + both-biases:0.5)"
    with pytest.raises(MatchError, match="has no option 'top_k'; it has bias_weight"):
        saematch.match(pair[0], pair[1], "reads-alike", top_k=2)


def test_a_view_of_a_plug_in_is_weighted(installed, pair):
    found = saematch.match(pair[0], pair[1], "weighted", views="unit-both-biases:2", null="none")
    vectors = [torch.stack([s.b_enc, s.W_dec @ s.b_dec], 1) for s in pair]
    x, y = (v / v.norm(dim=1, keepdim=True) for v in vectors)
    expected = 2 * (x * y[found.target]).sum(1)
    torch.testing.assert_close(found.score.float(), expected, rtol=1e-5, atol=1e-5)


def test_a_family_of_a_plug_in_is_loaded(installed, tmp_path):
    tensors = {
        "example.down": torch.randn(24, 8),
        "example.up": torch.randn(24, 8),
        "example.bias": torch.randn(24),
        "example.centre": torch.randn(8),
    }
    save_file(tensors, tmp_path / "layer_3.safetensors")
    sae = saematch.load(tmp_path / "layer_3.safetensors")
    assert torch.equal(sae.W_enc, tensors["example.down"].T)
    assert torch.equal(sae.W_dec, tensors["example.up"])
    assert sae.conventions.family == "example"


def test_an_estimate_of_a_plug_in_is_evaluated_and_added_to_a_run(installed, pair, tmp_path):
    model, texts = SmallModel(), {"one": examples(6, seed=1)}
    plain = EvaluationOptions(quantiles=(), resamples=5)
    with_it = EvaluationOptions(quantiles=(), resamples=5, estimates=("halfway",))
    found = saematch.match(pair[0], pair[1], "cosine", null="none")
    table = evaluate_matchings(found, model, texts, options=with_it)
    variance = table.filter(estimate="halfway", metric="explained variance")["value"].item()
    ids = [torch.as_tensor(one)[None] for one in texts["one"]]
    hooks = [str(sae.conventions.site) for sae in pair]
    x_a, x_b = (
        torch.cat([model.run(one, hooks)[hook][0, 1:] for one in ids]).double() for hook in hooks
    )
    error = (x_a + x_b.mean(0)) / 2 - x_b
    expected = 1 - error.square().sum() / (x_b - x_b.mean(0)).square().sum()
    assert variance == pytest.approx(float(expected), abs=1e-4)

    run = Run.create(tmp_path / "run", "match", {}, list(pair))
    run.add_pair(run.names[0], run.names[1], found)
    loaded = dict(zip((sae.conventions.source for sae in pair), pair, strict=True))
    given = {"run": run, "model": model, "texts": texts, "load": loaded.__getitem__}
    before = evaluate_run(options=plain, **given)
    assert "halfway" not in before["estimate"].to_list()
    after = evaluate_run(options=with_it, **given)
    assert after.filter(pl.col("estimate") != "halfway").equals(before)
    # it stays though it is not asked for again
    assert evaluate_run(options=plain, **given).equals(after)


def test_a_figure_of_a_plug_in_is_drawn(installed, pair, tmp_path):
    run = Run.create(tmp_path / "run", "match", {}, list(pair))
    assert figures(run, ["targets"]) == ({}, {"targets": "no pair is matched"})
    found = saematch.match(pair[0], pair[1], "cosine", null="none")
    run.add_pair(run.names[0], run.names[1], found)
    made, _ = figures(run, ["targets"])
    assert list(made["targets"].to_dict()["data"][0]["y"]) == [96]


def test_the_command_line_knows_a_plug_in(pair, tmp_path):
    names = []
    for number, sae in enumerate(pair):
        tensors = {"example.down": sae.W_enc.T, "example.up": sae.W_dec}
        tensors |= {"example.bias": sae.b_enc, "example.centre": sae.b_dec}
        names.append(str(tmp_path / f"layer_{number}.safetensors"))
        save_file({k: v.contiguous() for k, v in tensors.items()}, names[-1])
    path = os.pathsep.join([str(PLUGINS), os.environ.get("PYTHONPATH", "")])
    given = {"env": {**os.environ, "PYTHONPATH": path}, "capture_output": True, "text": True}
    command = [sys.executable, "-m", "saematch"]
    run = str(tmp_path / "run")
    done = subprocess.run(
        [*command, "match", *names, "--method", "reads-alike", "--null", "none", "-o", run],
        check=False,
        **given,
    )
    assert done.returncode == 0, done.stderr
    done = subprocess.run([*command, "plot", run, "--only", "targets"], check=False, **given)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "figures" / "targets.html").stat().st_size > 1000


def test_what_is_registered_in_a_session_is_there():
    def mine() -> Method:
        return Method("mine", (View("decoder"),))

    assert METHODS.register("mine", mine) is mine
    assert METHODS["mine"] is mine
    assert "mine" in METHODS
    assert len(METHODS) == len([*METHODS])


@pytest.mark.parametrize("registry", EVERY, ids=lambda registry: registry.kind)
def test_names_that_are_taken_are_refused(installed, registry):
    theirs = registry.added[0]
    with pytest.raises(SaematchError, match=rf"{theirs}' of register\(\) has a name that is taken"):
        registry.register(theirs, registry[theirs])
    registry.register("new", registry[theirs])
    with pytest.raises(SaematchError, match=r"'new' of register\(\) has a name that is taken"):
        registry.register("new", registry[theirs])
    ours = "match" if registry is ESTIMATES else next(iter(registry))
    with pytest.raises(SaematchError, match="has the name of one of saematch's own"):
        registry.register(ours, registry[theirs])
    with pytest.raises(SaematchError, match="has a name that cannot be"):
        registry.register("a:b", registry[theirs])


@pytest.mark.parametrize("registry", EVERY, ids=lambda registry: registry.kind)
def test_errors_list_the_names_there_are(installed, registry):
    there = ", ".join(registry)
    assert there.endswith(registry.added[0])
    said = re.escape(f"no {registry.kind} is called 'no'; there are {there}")
    with pytest.raises(SaematchError, match=said):
        registry["no"]


def plug_in(folder: Path, name: str, lines: str) -> None:
    info = folder / f"{name}-2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2\n")
    (info / "entry_points.txt").write_text(f"[saematch.methods]\n{lines}\n")


def test_a_package_that_cannot_be_imported_harms_nobody_before_it_is_used(tmp_path, monkeypatch):
    plug_in(tmp_path, "broken", "gone = no_such_module:make")
    monkeypatch.syspath_prepend(tmp_path)
    assert METHODS.added == ["gone"]
    assert METHODS["cosine"]().name == "cosine"
    with pytest.raises(MatchError, match="method 'gone' of broken 2 cannot be loaded: ModuleNot"):
        METHODS["gone"]


@pytest.mark.parametrize(
    ("name", "said"), [("cosine", "saematch's own"), ("reads-alike", "is taken already")]
)
def test_two_packages_cannot_give_one_name(installed, tmp_path, monkeypatch, name, said):
    plug_in(tmp_path, "rival", f"{name} = saematch_example:reads_alike")
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):
        with pytest.raises(MatchError, match=f"method '{name}' of [a-z-]+ [0-9.]+ has .*{said}"):
            _ = METHODS.added
    assert METHODS["cosine"]().name == "cosine"
