"""A sample of what `python -m benchmarks.fire` tries: what is found, is a fault of the package.

Each line that fails names an id; `python -m benchmarks.fire --replay ID` makes it again.
"""

import pytest

from fire import kills, registry, report

SEED = 12
# of the attacks, those that take a second or two
FAST = [
    "code::auto_map",
    "code::kernels",
    "linked::match::overwrite",
    "linked::relate.overwrite::overwrite",
    "own files::match",
    "server::hosts",
    "server::requests",
    "server::traversal",
    "together::match::2",
    "together::match::others",
    "together::relate::2",
]


def faults(results) -> list[str]:
    return [f"{r['kind']}: {r['id']} ({r.get('what', '')}): {r['how']}" for r in results]


def test_every_valid_input_is_taken(pool):
    results = [*pool.do([{"do": "input", "surface": name} for name in registry.SURFACES])]
    assert faults(r for r in results if r["kind"] != "fine") == []


def test_damaged_inputs_are_read_right_or_refused_in_one_line(pool):
    inputs = registry.plan(160, SEED)
    results = [*pool.do([{"do": "input", "input": one.id} for one in inputs])]
    tried = [r for r in results if r["kind"] != "skipped"]
    assert len(tried) > 140
    assert faults(report.findings(tried)) == []


def test_a_command_that_was_stopped_ends_as_if_it_had_not_been(pool):
    assert faults(report.findings(pool.do(kills.plan(15, SEED, moments=False)))) == []


@pytest.mark.parametrize("name", FAST)
def test_attacks_do_nothing(pool, name):
    assert faults(report.findings(pool.do([{"do": "attack", "id": name}]))) == []
