"""The harness sees what it is there to see: nothing that a process does passes for well."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fire.registry import MUTATIONS, SURFACES, Input, meetings, plan

# judged in a process without threads: forking this one, which has some, may lock up
PROGRAM = """
import ctypes, json, os, sys, time
from pathlib import Path
from fire.forked import Limits, forked
from fire.verdict import judge, raised
from saematch.errors import SaematchError

def raising(error):
    try:
        raise error
    except BaseException as caught:
        return {"error": raised(caught)}

def burn():
    while True:
        pass

doing = {
    "fine": lambda: {"what": "nothing"},
    "skipped": lambda: {"skipped": True},
    "refused": lambda: raising(SaematchError("a.pt: no such file")),
    "not one line": lambda: raising(SaematchError("a.pt: no\\nsuch file")),
    "not plain": lambda: raising(SaematchError("\\ud800: no such file")),
    "traceback": lambda: raising(KeyError("W_enc")),
    "taken": lambda: {"refuse": "k is -1"},
    "wrong result": lambda: {"wrong": "codes are not finite"},
    "untidy end": lambda: {"status": 1},
    "crash": lambda: ctypes.string_at(0),
    "too slow": burn,
    "waits for ever": lambda: time.sleep(60),
    "memory": lambda: {"what": str(len(bytearray(b"x") * (300 << 20)))},
    "harness": lambda: {"what": object()},
}
found = {}
limits = Limits(space=1 << 30, grown=200 << 20, cpu=1, wall=20, idle=1)
for name, work in doing.items():
    ended = forked(work, Path.cwd(), Path("out"), limits)
    found[name] = judge(ended, limits, canary=False).kind
told = forked(lambda: print("saematch: no such run") or {"status": 1}, Path.cwd(), Path("out"))
found["refused "] = judge(told, limits, canary=False).kind
found["code run"] = judge(told, limits, canary=True).kind
print(json.dumps(found))
"""


def test_every_way_to_end_is_told_apart(tmp_path):
    path = os.pathsep.join([str(Path(__file__).parents[1]), *(p for p in sys.path if p)])
    made = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(made.stdout)
    assert len(found) == 16
    assert {name.strip(): kind for name, kind in found.items()} == {
        n.strip(): n.strip() for n in found
    }


def test_a_plan_is_the_same_for_the_same_seed_and_meets_all_before_any_again():
    first = plan(200, 3)
    assert first == plan(200, 3)
    assert first != plan(200, 4)
    every = [*meetings()]
    wide = plan(len(every), 3)
    assert {(one.surface, one.target, one.mutation) for one in wide} == {
        (s.name, t.place, m.name) for s, t, m in every
    }
    assert [Input.of(one.id) for one in wide] == wide
    # what has one form only is tried once
    many = [one.id for one in plan(3 * len(every), 3) if one.mutation == "file.fifo"]
    assert len(many) == len(set(many)) == sum(m.name == "file.fifo" for _, _, m in every)


def test_every_surface_meets_bytes_and_every_mutation_meets_a_surface():
    met = {(s.name, m.name) for s, _, m in meetings()}
    named = {name for name in SURFACES if name.startswith("name.")}
    assert all((name, "bytes.flip") in met for name in SURFACES.keys() - named)
    assert {mutation for _, mutation in met} == MUTATIONS.keys()


def test_an_id_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no such surface"):
        Input.of("nope::a::bytes.flip::0-0")
