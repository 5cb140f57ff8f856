"""`saematch match`: options, errors and what it prints."""

import re
import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import saematch
from saematch.cli import app, main
from saematch.cli.report import bands, overlooked, shared_seed
from saematch.runs.run import Run
from support.saes import make_sae, permuted
from support.stand_in import sidecar, write_shipped


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    return write_shipped(tmp_path_factory.mktemp("data")) / "saes"


@pytest.fixture
def match(saes, tmp_path, monkeypatch):
    """`match(A, B, *options)` in an empty folder, by the names of the stand-ins."""
    monkeypatch.chdir(tmp_path)

    def run(a, b, *options):
        names = [str(saes / n) if (saes / n).is_dir() else n for n in (a, b)]
        return CliRunner().invoke(app, ["match", *names, *options])

    return run


def test_the_run_holds_what_match_returns(match, saes):
    done = match("resid_post_1", "resid_post_2", "-o", "out", "--candidates", "7")
    assert done.exit_code == 0, done.output
    run = Run.open("out")
    a, b = (saematch.load(saes / name) for name in run.names)
    expected = saematch.match(a, b, candidates=7)
    assert_frame_equal(run.pair(*run.names), expected.to_polars())
    assert_frame_equal(run.candidates(*run.names), expected.candidates.to_polars("target"))
    assert_frame_equal(run.sources(*run.names), expected.sources.to_polars("source"))
    assert_frame_equal(run.null(*run.names), expected.null_histogram())
    assert "Written to out" in done.output
    for name in run.names:
        there = pl.read_parquet(saes / name / "features.parquet")
        assert_frame_equal(run.contexts(name), there.select(run.contexts(name).columns))  # pyright: ignore[reportArgumentType, reportOptionalMemberAccess]


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["--fold", "none", "--terms", "decoder"], {"fold": "none", "terms": "decoder"}),
        (
            ["--bias", "--encoder-weight", "0.5", "--decoder-weight", "2", "--bias-weight", "3"],
            {"bias": True, "encoder_weight": 0.5, "decoder_weight": 2.0, "bias_weight": 3.0},
        ),
        (["--method", "cosine", "--view", "encoder"], {"method": "cosine", "view": "encoder"}),
        (["--method", "feature-flow", "--top-k", "9"], {"method": "feature-flow", "top_k": 9}),
        (
            ["--method", "paulo-belrose", "--cutoff", "0.9"],
            {"method": "paulo-belrose", "cutoff": 0.9},
        ),
        (
            [
                "--method",
                "weighted",
                "--views",
                "unit-decoder:1,unit-encoder:0.5",
                "--kind",
                "many-to-one",
            ],
            {
                "method": "weighted",
                "views": (saematch.View("decoder", True), saematch.View("encoder", True, 0.5)),
                "kind": "many-to-one",
            },
        ),
        (
            ["--null", "rotation", "--fdr", "0.05", "--partial"],
            {"null": "rotation", "fdr": 0.05, "partial": True},
        ),
        (["--null", "none"], {"null": "none"}),
    ],
)
def test_options_reach_the_method(match, saes, options, arguments):
    done = match("resid_post_3", "resid_post_3_seed2", "-o", "out", "-q", *options)
    assert (done.exit_code, done.output) == (0, "out\n")
    a, b = (saematch.load(saes / n) for n in ("resid_post_3", "resid_post_3_seed2"))
    run = Run.open("out")
    assert_frame_equal(run.pair(*run.names), saematch.match(a, b, **arguments).to_polars())
    assert run.record.options["method"] == arguments.get("method", "sae-match")


def test_folding_by_activation_takes_the_means_beside_the_weights(match, saes, tmp_path):
    done = match("resid_post_1", "resid_post_2", "-o", "out", "-q", "--fold", "activation")
    assert done.exit_code == 0, done.output
    a, b = (saematch.load(saes / f"resid_post_{i}") for i in (1, 2))
    twos = torch.full((48,), 2.0)
    expected = saematch.match(a, b, fold="activation", typical_activation=(twos, twos))
    run = Run.open("out")
    assert_frame_equal(run.pair(*run.names), expected.to_polars())
    bare = write_shipped(tmp_path / "bare", contexts=False) / "saes" / "resid_post_2"
    done = match("resid_post_1", str(bare), "-o", "other", "--fold", "activation")
    assert isinstance(done.exception, saematch.MatchError)
    assert "has no features.parquet" in str(done.exception)


def test_without_o_the_run_is_named_for_the_pair(match):
    assert match("resid_post_1", "resid_post_2", "-q").output == "runs/resid_post_1--resid_post_2\n"
    pair = "resid_post_3--resid_post_3_seed2"
    assert match("resid_post_3", "resid_post_3_seed2", "-q").output == f"runs/{pair}\n"
    assert Run.open(f"runs/{pair}").names == pair.split("--")


def test_a_second_call_resumes_another_is_refused_and_overwrite_discards(match):
    first = match("resid_post_1", "resid_post_2", "-o", "out")
    again = match("resid_post_1", "resid_post_2", "-o", "out", "--device", "cpu")
    assert "Nothing left to do" in again.output
    assert "Nothing left to do" not in first.output
    created = Run.open("out").record
    other = match("resid_post_1", "resid_post_2", "-o", "out", "--fold", "none")
    assert isinstance(other.exception, saematch.RunError)
    assert "fold is auto there, none here" in str(other.exception)
    assert Run.open("out").record == created
    done = match("resid_post_1", "resid_post_2", "-o", "out", "--fold", "none", "--overwrite")
    assert done.exit_code == 0
    assert Run.open("out").record.options["fold"] == "none"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resid_post_1", "./nowhere"], "./nowhere: no such file"),
        (["resid_post_1", "resid_post_2", "--method", "best"], "no method is called 'best'"),
        (
            ["resid_post_1", "resid_post_2", "--method", "cosine", "--fold", "none"],
            "no option 'fold'",
        ),
        (["resid_post_1", "resid_post_2", "--method", "weighted"], "needs views"),
        (
            ["resid_post_1", "resid_post_2", "--method", "weighted", "--views", "d:x"],
            "not a number",
        ),
        (["resid_post_1", "resid_post_2", "--fdr", "1"], "fdr is 1.0"),
        (["resid_post_1", "resid_post_2", "--null", "none", "--partial"], "partial needs a null"),
        (["resid_post_1", "resid_post_2", "--device", "tpu9"], "no device 'tpu9'"),
        (["resid_post_1", "resid_post_2", "-o", "/proc/none/run"], "/proc/none/run"),
        (["resid_post_1", "resid_post_2", "-o", "x" * 300], "cannot be a run directory"),
    ],
)
def test_a_users_error_is_one_line_and_status_1(
    saes, tmp_path, monkeypatch, capfd, arguments, words
):
    monkeypatch.chdir(tmp_path)
    names = [str(saes / a) if a.startswith("resid_") else a for a in arguments]
    monkeypatch.setattr(sys, "argv", ["saematch", "match", *names])
    with pytest.raises(SystemExit) as stopped:
        main()
    out, err = capfd.readouterr()
    assert stopped.value.code == 1
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert err.startswith("saematch: ")
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_a_real_process_ends_with_one_line_and_status_1_too(saes, tmp_path):
    names = [str(saes / "resid_post_1"), str(saes / "resid_post_9")]
    code = "from saematch.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "match", *names],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "resid_post_9" in done.stderr


def test_misuse_is_status_2(match):
    assert match("resid_post_1", "resid_post_2", "--candidates", "0").exit_code == 2
    assert match("resid_post_1", "resid_post_2", "--no-such-option").exit_code == 2
    for option, value, allowed in (
        ("--null", "noise", "'covariance', 'rotation', 'none'"),
        ("--fold", "thresholds", "'auto', 'threshold', 'decoder-norm', 'activation', 'none'"),
    ):
        done = match("resid_post_1", "resid_post_2", option, value)
        assert done.exit_code == 2
        said = re.sub(r"[\s│]+", " ", done.output)
        assert f"{value!r} is not one of {allowed}" in said


def summary(order: torch.Tensor, noise: float = 0.0, **options):
    a = make_sae(d_in=8, d_sae=64)
    return saematch.match(a, permuted(a, order, noise=noise), **options).summary()


def test_a_shared_seed_is_named_and_strangers_are_not():
    warning = shared_seed(summary(torch.arange(64)))
    assert warning is not None
    assert "100.0% of the matches are i -> i; 1.56% are expected by chance" in warning
    assert "one seed" in warning
    assert shared_seed(summary(torch.arange(64).roll(1))) is None
    few = torch.arange(64)
    few[9:] = few[9:].roll(1)  # nine of 64 stay: 14 %, too few to say
    assert shared_seed(summary(few)) is None


def test_bands_share_out_what_is_matched():
    figures = summary(
        torch.randperm(64, generator=torch.Generator().manual_seed(1)), noise=1.0, null="none"
    )
    shares = bands(figures)
    assert len(shares) == 5
    assert sum(shares) == pytest.approx(1.0)
    assert shares[0] == figures["cosine_ge_0.9"]
    assert all(share >= 0 for share in shares)
    assert sum(bands({**figures, "features_a": 128, "matched": 64})) == pytest.approx(0.5)


def test_the_warning_is_printed(match, tmp_path):
    done = match("resid_post_3", "resid_post_3", "-o", "same")
    assert "these are the same weights" in done.output
    folder = write_shipped(tmp_path / "data") / "saes" / "resid_post_3"
    weights = load_file(folder / "sae_weights.safetensors")
    weights["W_dec"] = weights["W_dec"] * 1.01
    save_file(weights, folder / "sae_weights.safetensors")
    done = match("resid_post_3", str(folder), "-o", "out")
    assert "100.0% of the matches are i -> i" in re.sub(r"\s+", " ", done.output)
    done = match("resid_post_1", "resid_post_2", "-o", "other")
    assert "of the matches are i -> i" not in re.sub(r"\s+", " ", done.output)


def test_a_malformed_table_beside_the_weights_is_an_error(match, saes, tmp_path):
    folder = write_shipped(tmp_path / "data") / "saes" / "resid_post_2"
    sidecar([1, 2]).drop("contexts").write_parquet(folder / "features.parquet")
    done = match("resid_post_1", str(folder), "-o", "out")
    assert isinstance(done.exception, saematch.CheckpointError)
    assert "no column contexts" in str(done.exception)


def test_matches_lost_to_unequal_lengths_are_counted(tmp_path):
    a = replace(make_sae(d_in=32, d_sae=48), threshold=torch.ones(48))
    b = permuted(a, torch.randperm(48, generator=torch.Generator().manual_seed(1)), noise=0.05)
    for method, expected in (("sae-match", True), ("cosine", False)):
        found = saematch.match(a, b, method)
        # as if the lengths of twenty of them were too far apart
        matched = found.matched & (torch.arange(48) >= 20)
        found = replace(found, pairs=replace(found.pairs, matched=matched))
        options = found.method.options()
        run = Run.create(tmp_path / method, "match", options, [a, b])
        run.add_pair(run.names[0], run.names[1], found)
        close = (found.measures["decoder_cosine"] >= 0.7) & ~found.matched
        notes = overlooked(run)
        assert bool(notes) == expected
        if expected:
            assert notes[0].startswith(f"{int(close.sum())} features without a match have a target")
            assert "--method cosine" in notes[0]
            assert overlooked(run, []) == []


def test_the_caption_names_the_rule_of_the_method(match):
    done = match(
        "resid_post_3", "resid_post_3_seed2", "--method", "paulo-belrose", "--cutoff", "0.8"
    )
    text = " ".join(done.output.split())
    rule = "the same target by decoders and by encoders, both cosines at least 0.8"
    assert f"Matched: {rule}, and scores larger than the best" in text
    done = match(
        "resid_post_3",
        "resid_post_3_seed2",
        "--method",
        "paulo-belrose",
        "--null",
        "none",
        "-o",
        "x",
    )
    assert "matched means the same target by decoders and by encoders" in " ".join(
        done.output.split()
    )
    assert "Matched: directions more similar than the best" in " ".join(
        match("resid_post_1", "resid_post_2").output.split()
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "Evidence: weights. Their language model would add to it (--model, by fused)."),
        (
            {"model": "M", "jacobians": {}},
            "Evidence: weights; how M carries their directions from layer to layer.",
        ),
        (
            {"model": "M", "jacobians": {}, "text": ["generated"], "tokens": 16384},
            "Evidence: weights; how M carries their directions from layer to layer; activations on "
            "about 16,384 tokens of text that M generated. Text of the kind that you study would "
            "add to it (--text).",
        ),
        (
            {"model": "M", "views": ["unit-activation:1.0"], "text": ["generated", "wikitext"],
             "tokens": 500},
            "Evidence: activations on about 500 tokens each of text that M generated, wikitext.",
        ),
        (
            {"activations": {"tokens": 4000}},
            "Evidence: weights; activations on 4,000 tokens. Their language model would add to it "
            "(--model, by fused).",
        ),
    ],
)  # fmt: skip
def test_a_run_says_what_it_was_made_of(options, said):
    from saematch.cli.report import evidence

    assert evidence({"views": ["unit-decoder:0.5", "unit-encoder:0.5"], **options}) == said
