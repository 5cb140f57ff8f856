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

from fire.stops import KINDS

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
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
SAMPLE = {
    "inputs": ("--inputs", "100"),
    "interrupts": ("--interrupts", "12", "--only", "flow --scheduler|label"),
    "attacks": ("--attacks", "--only", "|".join(QUICK)),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """The verdicts of each part of the sample, all made by one new Python."""
    home = tmp_path_factory.mktemp("fire")
    common = ["--seed", "7", "--jobs", "2", "--made", str(home / "made")]
    calls = {part: [*asked, *common, "--kept", str(home / part)] for part, asked in SAMPLE.items()}
    code = f"from benchmarks.fire import main\nfor call in {[*calls.values()]}: main(call)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {
        part: [json.loads(line) for line in (home / part).read_text().splitlines()]
        for part in SAMPLE
    }


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked and limited as on Linux")
@pytest.mark.parametrize("part", SAMPLE)
def test_nothing_is_found(part, verdicts):
    made = [verdict for verdict in verdicts[part] if verdict["verdict"] != "not applicable"]
    assert len(made) >= 3
    assert [verdict for verdict in made if verdict["verdict"] == "FINDING"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked and limited as on Linux")
def test_every_kind_of_stop_is_sampled(verdicts):
    kinds = {verdict["id"].split("::")[2] for verdict in verdicts["interrupts"]}
    assert kinds == {*KINDS}


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
