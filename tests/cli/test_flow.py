"""`saematch flow`: from SAEs to a run with tracks; taking up; refusing."""

import re
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import saematch
from saematch import Run
from saematch.cli import app
from saematch.workflows.saes import Saes
from support.stand_in import write_shipped

LAYERS = ["resid_pre_0", *(f"resid_post_{layer}" for layer in range(6))]


@pytest.fixture(scope="module")
def saes(tmp_path_factory) -> Path:
    return write_shipped(tmp_path_factory.mktemp("data")) / "saes"


@pytest.fixture
def flow(saes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, out: str = "out"):
        named = [str(saes / a) if a.startswith("resid") else a for a in arguments]
        return CliRunner().invoke(app, ["flow", *named, "-o", out])

    return call


def words(done) -> str:
    assert done.exit_code == 0, done.exception or done.output
    return re.sub(r"\s+", " ", done.output)


def test_a_pattern_is_followed_from_layer_to_layer(flow):
    said = words(flow("resid_post_{0-2}", "resid_pre_0"))
    assert "4 layers, 3 pairs matched by sae-match" in said
    run = Run.open("out")
    assert run.finished
    assert run.pairs == [
        ("resid_post_0", "resid_post_1"),
        ("resid_post_1", "resid_post_2"),
        ("resid_pre_0", "resid_post_0"),
    ]
    found = run.section("flow")
    assert found is not None
    assert found.chain == ["resid_pre_0", "resid_post_0", "resid_post_1", "resid_post_2"]
    tracks = pl.read_parquet("out/flow/tracks.parquet")
    assert tracks["mode"].unique(maintain_order=True).to_list() == ["chained", "flow", "gaps"]
    # one to one: every feature of every layer once
    for mode in ("chained", "gaps"):
        nodes = tracks.filter(mode=mode).select("site", "feature")
        assert len(nodes) == len(nodes.unique()) == 4 * 48
    # a track follows the pairs' own targets
    pair = run.pair("resid_post_0", "resid_post_1").filter("matched")
    steps = tracks.filter(mode="chained", site="resid_post_1").filter(pl.col("position") > 0)
    assert sorted(steps["feature"]) == sorted(pair["target"])


def test_a_longer_reach_adds_what_is_missing(flow):
    words(flow("resid_post_{0-3}"))
    before = Path("out/pairs/resid_post_0--resid_post_1.parquet").stat()
    created = Run.open("out").record.created
    said = words(flow("resid_post_{0-3}", "--reach", "2"))
    assert "2 made now; the others were there already" in said
    run = Run.open("out")
    assert len(run.pairs) == 5
    assert run.record.created == created
    after = Path("out/pairs/resid_post_0--resid_post_1.parquet").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    found = run.section("flow")
    assert found is not None
    assert [row.steps for row in found.composition] == [2]
    words(flow("resid_post_{0-3}", "--pairs", "all"))
    flow_of_all = Run.open("out").section("flow")
    assert flow_of_all is not None
    assert [row.steps for row in flow_of_all.composition] == [2, 3]


def test_the_same_call_again_writes_nothing(flow):
    words(flow("resid_post_{0-2}"))
    files = {p: p.stat().st_mtime_ns for p in Path("out").rglob("*") if p.is_file()}
    said = words(flow("resid_post_{0-2}"))
    assert "0 made now" in said
    assert {p: p.stat().st_mtime_ns for p in Path("out").rglob("*") if p.is_file()} == files


def test_a_table_that_is_gone_is_made_again(flow):
    words(flow("resid_post_{0-2}"))
    place = Path("out/flow/turnover.parquet")
    before = pl.read_parquet(place)
    place.unlink()
    assert "0 made now" in words(flow("resid_post_{0-2}"))
    assert pl.read_parquet(place).equals(before)


@pytest.mark.parametrize("columns", [60, 160])
def test_every_table_says_its_sites_whatever_the_width(flow, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert "2 layers, 1 pair matched" in words(flow("resid_post_{0-1}", out="two"))
    done = flow("resid_post_{0-3}")
    words(done)
    table = done.output[done.output.index("Births and deaths") :]
    table = table[: table.index("Lifespans")]
    assert all(f"resid_post_{layer}" in table for layer in range(4))
    assert re.search(r"\d+% \(\d+-\d+\)", table)
    assert ("gaps" in table) == (columns == 160)
    assert "…" not in table


def test_a_flow_that_was_interrupted_is_taken_up(flow, monkeypatch):
    made = []

    def stopped(run, a, b, matching, add=Run.add_pair):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append((a, b))
        add(run, a, b, matching)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "add_pair", stopped)
        assert flow("resid_post_{0-4}").exit_code != 0
    run = Run.open("out")
    assert (len(run.pairs), run.section("flow"), run.finished) == (2, None, None)
    assert "2 made now" in words(flow("resid_post_{0-4}"))
    run = Run.open("out")
    assert len(run.pairs) == 4
    assert run.section("flow")
    assert run.finished


def test_options_of_the_method_are_those_of_match(flow):
    words(flow("resid_post_{0-1}", "--method", "feature-flow", "--top-k", "3", "--fdr", "0.05"))
    options = Run.open("out").record.options
    assert (options["method"], options["top_k"], options["fdr"]) == ("feature-flow", 3, 0.05)
    done = flow("resid_post_{0-1}")
    assert isinstance(done.exception, saematch.RunError)
    assert "method is feature-flow there, sae-match here" in str(done.exception)


def test_origins_by_cutoffs(flow, saes, tmp_path):
    folder = tmp_path / "mlp_out_1"
    folder.mkdir()
    for name in ("cfg.json", "sae_weights.safetensors"):
        (folder / name).write_bytes((saes / "resid_post_1" / name).read_bytes())
    config = (folder / "cfg.json").read_text().replace("hook_resid_post", "hook_mlp_out")
    (folder / "cfg.json").write_text(config)
    said = words(flow("resid_post_{0-1}", str(folder), "--origin-cutoffs", "0.6,0.15"))
    assert "s_R ≥ 0.6, s_M or s_A ≥ 0.15" in said
    frame = pl.read_parquet("out/flow/origins.parquet")
    # what the MLP writes are the features themselves
    assert frame["s_M"].to_list() == pytest.approx([1.0] * 48)
    assert frame["source_M"].to_list() == list(range(48))
    expected = ["processed" if s >= 0.6 else "newborn" for s in frame["s_R"]]
    assert frame["origin"].to_list() == expected
    assert len(set(expected)) == 2
    words(flow("resid_post_{0-1}", str(folder)))  # by p-value, of the pairs that are there
    assert Run.open("out").section("flow").origin_cutoffs is None  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["resid_post_{0-9}"], "has no resid_post_6"),
        (["resid_post_{0-2}", "resid_post_1"], "resid_post_1 is given twice"),
        (["resid_post_3", "resid_post_3_seed2"], "both read blocks.3.hook_resid_post"),
        (["resid_post_1"], "needs two SAEs"),
        (["resid_post_{0-3}", "--pairs", "all", "--reach", "2"], "reach=2 those up to 2 apart"),
        (["resid_post_{0-1}", "--method", "cosine", "--fold", "none"], "no option 'fold'"),
    ],
)
def test_what_makes_no_flow_is_refused_before_any_work(flow, arguments, error):
    done = flow(*arguments)
    assert isinstance(done.exception, saematch.SaematchError), done.output
    assert error in str(done.exception)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--pairs", "some"], "'some' is not one of 'adjacent', 'all'"),
        (["--origin-cutoffs", "0.5"], "'0.5' is not two cosines, such as 0.5,0.15"),
    ],
)
def test_misuse_is_status_2(flow, arguments, error):
    done = flow("resid_post_{0-1}", *arguments)
    assert done.exit_code == 2
    assert error in re.sub(r"[\s│]+", " ", done.output)


def test_another_width_of_the_stream_is_refused(flow, saes, tmp_path):
    other = write_shipped(tmp_path / "other", d_in=12) / "saes" / "resid_post_1"
    done = flow("resid_post_0", str(other))
    assert isinstance(done.exception, saematch.MatchError)
    assert "reads 16 and writes 16 dimensions" in str(done.exception)
    assert not Path("out").exists()


def test_a_folder_of_saes(flow, saes, tmp_path):
    below = tmp_path / "folder"
    for layer in range(3):
        folder = below / f"resid_post_{layer}"
        folder.mkdir(parents=True)
        for file in (saes / folder.name).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
    words(flow(str(below)))
    assert Run.open("out").names == ["resid_post_0", "resid_post_1", "resid_post_2"]


def test_no_more_than_two_saes_are_held(saes):
    held = Saes([str(saes / name) for name in LAYERS[:3]], "cpu")
    first, second = held[0], held[1]
    assert held[0] is first
    held[2]
    assert held[0] is first
    assert held[1] is not second


def test_a_run_keeps_the_checksums_of_what_was_read(flow, saes, tmp_path):
    words(flow("resid_post_{0-1}"))
    from saematch.sae.checksum import checksum

    entries = Run.open("out").record.saes
    for entry in entries:
        assert entry.checksum == checksum(saematch.load(str(saes / entry.name)))
    changed = tmp_path / "changed" / "resid_post_1"
    changed.mkdir(parents=True)
    for file in (saes / "resid_post_1").iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    weights = load_file(changed / "sae_weights.safetensors")
    save_file({**weights, "b_dec": torch.zeros(16)}, changed / "sae_weights.safetensors")
    done = flow("resid_post_0", str(changed))
    assert "resid_post_1 has other weights there" in str(done.exception)
