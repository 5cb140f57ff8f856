"""`saematch demo`: what a newcomer sees first, on a stand-in for the shipped SAEs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from saematch.cli import app
from saematch.cli.examples import choose, context_line, visible
from saematch.runs.run import Run
from saematch.sae import shipped
from saematch.sae.contexts import Context
from saematch.workflows import matcher
from support.stand_in import WORDS, write_shipped

STEPS = [(f"resid_post_{i}", f"resid_post_{i + 1}") for i in range(10, 16)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_shipped(tmp_path_factory.mktemp("data"))


@pytest.fixture
def demo(root, tmp_path, monkeypatch):
    """Runs the command in an empty folder; returns its exit status and output."""
    monkeypatch.setattr(shipped, "folder", lambda: root)
    monkeypatch.chdir(tmp_path)

    def run(*arguments, columns=None):
        env = {"COLUMNS": columns and str(columns)}
        done = CliRunner().invoke(app, ["demo", *arguments], env=env, catch_exceptions=False)
        return done.exit_code, done.output

    return run


@pytest.fixture
def solved(monkeypatch):
    """A list that grows by one with every matching that is really made."""
    calls = []
    real = matcher.match_two

    def counted(*arguments, **options):
        calls.append(arguments[:2])
        return real(*arguments, **options)

    monkeypatch.setattr(matcher, "match_two", counted)
    return calls


def test_every_step_from_block_to_block_is_matched_and_shown(demo, tmp_path, solved):
    status, text = demo()
    assert status == 0
    run = Run.open(tmp_path / "runs" / "demo")
    assert run.pairs == STEPS
    assert len(solved) == 6
    assert run.finished is not None
    for (a, b), figures in run.summaries.items():
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{a} → {b}"))
        assert f"{figures['cosine_ge_0.9']:.0%}" in line
        assert f"{a} → {b}" in text
        assert f"{figures['matched'] / 48:.1%}" in line
        assert f"{figures['p_cut']:.1%}" in line
        assert figures["assigned"] == 48
        assert 15 <= figures["matched"] <= 40  # from copies to strangers
    median = run.summaries[STEPS[0]]["median_decoder_cosine"]
    identity = run.summaries[STEPS[0]]["identity_decoder_cosine"]
    assert f"{median:.2f} ({identity + 0.0:.2f})" in text
    for note in run.notes(*STEPS[0]):
        assert note[:60] in text
    assert "Written to runs/demo" in text
    for command in ("inspect saematch:smollm2/", "flow ", "trace runs/flow ", "explore runs/flow"):
        assert f"  saematch {command}" in text
    assert "blocks 10 to 16 of SmolLM2-135M-Instruct" in " ".join(text.split())
    assert run.contexts("resid_post_15") is not None


def test_a_second_call_makes_nothing_again_and_shows_the_same(demo, solved):
    _, first = demo()
    solved.clear()
    status, second = demo()
    assert status == 0
    assert solved == []
    assert "Nothing left to do" in second
    kept = [line for line in second.splitlines() if "Nothing left" not in line]
    # on a slow machine, what is being done
    told = re.compile(r"\d+ of \d+: ")
    assert kept == [line for line in first.splitlines() if not told.match(line)]


def test_an_interrupted_call_is_taken_up_where_it_stopped(demo, tmp_path, monkeypatch, solved):
    real = Run.add_pair

    def stop_at_third(run, a, b, found):
        if a == "resid_post_12":
            raise KeyboardInterrupt
        real(run, a, b, found)

    monkeypatch.setattr(Run, "add_pair", stop_at_third)
    status, _ = demo()
    assert status == 130
    assert Run.open(tmp_path / "runs" / "demo").pairs == STEPS[:2]
    assert Run.open(tmp_path / "runs" / "demo").finished is None
    monkeypatch.setattr(Run, "add_pair", real)
    solved.clear()
    _, text = demo()
    assert len(solved) == 4
    assert "4 made now" in text
    assert Run.open(tmp_path / "runs" / "demo").pairs == STEPS


@pytest.mark.parametrize("columns", [80, 100, 120, None])
def test_no_line_is_wider_than_it_may_be_and_no_cell_is_cut(demo, columns):
    _, text = demo(columns=columns)
    commands = [line for line in text.splitlines() if line.startswith("  saematch ")]
    assert len(commands) == 4  # to be copied, so never wrapped
    for line in text.splitlines():
        assert line in commands or cell_len(line) <= (columns or 100), line
    assert "\x1b" not in text
    words = re.sub(r"\s+", " ", text)
    for label in (
        "matched",
        "null",
        "≥ 0.9",
        "0.7-0.9",
        "0.5-0.7",
        "0.3-0.5",
        "< 0.3",
        "mutual",
        "gap",
        "time",
    ):
        assert label in words
    for name in {name for pair in STEPS for name in pair}:
        assert name in words


def test_examples_are_varied_ordered_and_the_same_each_time(demo, tmp_path):
    demo()
    run = Run.open(tmp_path / "runs" / "demo")
    chosen = choose(run)
    assert list(chosen) == ["best", "typical", "worst"]
    for examples in chosen.values():
        assert len({(e.a, e.b) for e in examples}) == 3
        assert len({e.left[0].token for e in examples}) == 3
        assert all(len(e.left) == len(e.right) == 3 for e in examples)
    cosine = {kind: [e.row["decoder_cosine"] for e in found] for kind, found in chosen.items()}
    pairs = [run.pair(*pair).filter("matched") for pair in run.pairs]
    every = sorted(cosine for pair in pairs for cosine in pair["decoder_cosine"])
    assert cosine["best"][0] == every[-1]
    assert cosine["worst"][0] == every[0]
    middle = every[len(every) // 2]
    assert all(abs(c - middle) < 0.05 for c in cosine["typical"])
    every = [e for examples in chosen.values() for e in examples]
    ends = [end for e in every for end in ((e.a, e.row["feature"]), (e.b, e.row["target"]))]
    assert len(set(ends)) == 18
    assert choose(run) == chosen


def test_examples_are_of_features_that_fire_seldom_and_say_how_often(root, demo, tmp_path):
    for folder in (root / "smollm2" / "saes").iterdir():
        frame = pl.read_parquet(folder / "features.parquet")
        often = pl.when(pl.col("feature") % 3 == 0).then(pl.lit(0.2)).otherwise("frequency")
        (tmp_path / "smollm2" / "saes").mkdir(parents=True, exist_ok=True)
        there = shutil.copytree(folder, tmp_path / "smollm2" / "saes" / folder.name)
        frame.with_columns(frequency=often).write_parquet(there / "features.parquet")
    shipped.folder = lambda: tmp_path  # the fixture puts it back
    _, text = demo()
    chosen = choose(Run.open(tmp_path / "runs" / "demo"))
    for example in (e for examples in chosen.values() for e in examples):
        assert example.row["feature"] % 3 != 0
        assert example.row["target"] % 3 != 0
        often = example.row["feature_frequency"]
        assert f"{example.a} #{example.row['feature']}, on {often:.1%} of tokens" in text
    assert "at most 5% of the tokens" in " ".join(text.split())


def test_without_contexts_the_matches_are_shown_by_number(tmp_path, monkeypatch):
    root = write_shipped(tmp_path / "data", contexts=False)
    monkeypatch.setattr(shipped, "folder", lambda: root)
    done = CliRunner().invoke(app, ["demo", "-o", str(tmp_path / "run")], catch_exceptions=False)
    assert done.exit_code == 0
    assert "best matches" in done.output
    assert "«" not in done.output
    assert not list((tmp_path / "run").glob("contexts/*"))


def test_quiet_prints_the_directory_alone(demo):
    assert demo("-q", "-o", "x") == (0, "x\n")


@pytest.mark.parametrize("width", [24, 38, 48, 58])
def test_a_context_line_fills_its_width_around_the_token(width):
    context = Context("before " * 20, " the", " after" * 20, 1.0, "x")
    line = context_line(context, width).plain
    assert cell_len(line) in (width, width - 1)
    assert "« the»" in line
    assert line.startswith("…")
    assert line.endswith("…")
    assert abs(line.index("«") - width // 2) <= 4
    # what one side does not need goes to the other
    short = context_line(context._replace(before=""), width).plain
    assert short.startswith("« the» after")
    assert cell_len(short) == width


@pytest.mark.parametrize("word", [*WORDS, "x" * 300, "日" * 90, "", "\x1b[31m", "[bold]"])
@pytest.mark.parametrize("width", [20, 38, 48])
def test_no_text_breaks_a_line(word, width):
    for context in (Context(word, word, word, 1.0, ""), Context("a" * 99, word, "b" * 99, 1.0, "")):
        line = context_line(context, width).plain
        assert cell_len(line) <= width
        assert line.isprintable()
        assert line.count("«") == line.count("»") == 1


def test_white_space_and_control_characters_are_made_visible():
    assert visible("a\r\n\t b") == "a↵b"
    assert visible("a  b   c") == "a␣b␣c"
    assert visible("\n", alone=True) == "↵"
    assert visible(" ", alone=True) == "␣"
    assert visible(" " * 8, alone=True) == "␣x8"
    assert visible(" the", alone=True) == " the"
    assert visible("\x1b[31m\u202e\u200b") == "�[31m"


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_real_process_piped_writes_plain_text(root, tmp_path, encoding):
    code = (
        "import sys; from pathlib import Path; from saematch import shipped\n"
        "shipped.folder = lambda: Path(sys.argv.pop(1))\n"
        "root = shipped.folder(); shipped.folder = lambda: root\n"
        "from saematch.cli import main; main()"
    )
    command = [sys.executable, "-c", code, str(root), "demo", "-o", str(tmp_path / "run")]
    env = {"PYTHONIOENCODING": encoding, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, check=False, env=env)
    # on a slow machine, what is being done
    told = done.stderr.decode(errors="replace").splitlines()
    assert all(re.match(r"\d+ of \d+: ", line) for line in told)
    assert done.returncode == 0
    text = done.stdout.decode(encoding)
    assert "best matches" in text
    assert "\x1b" not in text
    lines = [line for line in text.splitlines() if not line.startswith(("Written", "  saematch"))]
    assert max(map(cell_len, lines)) == 100
    assert ("resid_post_10 → resid_post_11" if encoding == "utf-8" else "resid_post_10 > ") in text
    assert json.loads((Path(command[-1]) / "run.json").read_text())["command"] == "demo"


def test_half_a_character_at_either_end_is_left_out():
    context = Context("\ufffd\ufffda b", "\ufffd", "c\ufffdd\ufffd", 1.0, "")
    assert context_line(context, 40).plain == "a b«\ufffd»c\ufffdd"
