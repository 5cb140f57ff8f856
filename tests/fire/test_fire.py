"""A sample of what `python -m benchmarks.fire` tries: damaged inputs, interrupts, attacks.

Each runs in a process forked from one that has started no threads; so a new Python makes them all,
with hard limits on time.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
INPUTS, INTERRUPTS = 100, 4
QUICK = (
    "match through a linked pairs",
    "relate through a linked relations",
    "flow through a linked features",
    "a user's files beside tables outlive --overwrite",
    "an export that lists what is not its own",
    "a model that asks to run its code",
    "two matches with other options at once",
    "two others at once: relate",
    "own files: compare",
    "server: traversal",
    "server: hosts",
    "server: requests",
    "browsers of bad will",
)


def tried(tmp_path: Path, *arguments: str) -> list[dict]:
    """The findings of the harness; it must have tried something."""
    out = tmp_path / "verdicts.jsonl"
    code = [sys.executable, "-m", "benchmarks.fire", *arguments, "--jobs", "2", "--kept", str(out)]
    done = subprocess.run(
        code, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False, env=os.environ
    )
    assert out.is_file(), done.stderr[-2000:]
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    assert len([v for v in verdicts if v["verdict"] != "not applicable"]) >= 3
    return [v for v in verdicts if v["verdict"] == "FINDING"]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked and limited as on Linux")
@pytest.mark.parametrize(
    "arguments",
    [
        ("--inputs", str(INPUTS), "--seed", "7"),
        ("--interrupts", str(INTERRUPTS), "--seed", "7", "--only", "match|label|judge"),
        ("--attacks", "--only", "|".join(QUICK)),
    ],
    ids=["inputs", "interrupts", "attacks"],
)
def test_nothing_is_found(tmp_path, arguments):
    assert tried(tmp_path, *arguments) == []


def test_the_harness_sees_what_it_looks_for():
    """A reader that takes anything, hangs, dies, shows its inside or runs code is found out."""
    code = """
import sys
sys.path.insert(0, "tests")
from pathlib import Path
import json, os, tempfile
from fire.registry import SURFACES, Surface, Target, Input
from fire.engine import tried
from fire.forked import Limits
import fire.families
readers = {
    "raises": lambda folder: {}["x"],
    "dies": lambda folder: os.kill(os.getpid(), 11),
    "spins": lambda folder: [None for _ in iter(int, 1)],
    "wrong": lambda folder: "a wrong value",
    "shows": lambda folder: print("Traceback (most recent call last):"),
    "runs": lambda folder: Path(os.environ["FIRE_CANARY"]).touch(),
    "fine": lambda folder: None,
}
target = SURFACES["load.gemma_scope"].targets[0]
found = {}
with tempfile.TemporaryDirectory() as home:
    for name, call in readers.items():
        SURFACES[name] = Surface(name, "load.gemma_scope", (target,), call)
        one = Input(name, target.place, "bytes.flip", 0, 0)
        verdict = tried(one, Path(home), Limits(cpu=1, wall=10, space=16 << 30, grown=1 << 30))
        found[name] = f"{verdict.verdict} {verdict.kind}".strip()
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = json.loads(done.stdout.splitlines()[-1]) if done.stdout else done.stderr[-2000:]
    assert found == {
        "raises": "FINDING KeyError in",
        "dies": "FINDING ended by SIGSEGV",
        "spins": "FINDING no end (cpu)",
        "wrong": "FINDING a wrong result: a wrong value",
        "shows": "FINDING the inside shown",
        "runs": "FINDING CODE RAN",
        "fine": "fine",
    }
