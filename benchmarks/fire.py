"""The package under fire: damaged inputs, kills and attacks, as in `tests/fire`, but many.

    python -m benchmarks.fire --inputs 10000 --kills 200 --jobs 2 --out fire.json
    python -m benchmarks.fire --inputs 500 --kills 0 --no-attacks --only load.openai
    python -m benchmarks.fire --replay load.openai::resid_post_mlp/3.pt::tensor.k::0-3

Ends with 1 where there was a finding. See docs/fire.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fire import attacks, kills, registry, report
from fire.engine import Pool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="damaged inputs")
    parser.add_argument("--kills", type=int, default=200, help="commands stopped and called again")
    parser.add_argument("--no-attacks", action="store_true", help="leave out the attacks")
    parser.add_argument("--only", default="", help="inputs and attacks whose id holds this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--work", type=Path, help="a folder to keep; unless given, a new one")
    parser.add_argument("--out", type=Path, help="a JSON file of all results")
    parser.add_argument("--replay", metavar="ID", help="one input, kill or attack alone")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="fire-") as new,
        Pool((asked.work or Path(new)).resolve(), 1 if asked.replay else asked.jobs) as pool,
    ):
        pool.prepare()
        return _replay(pool, asked.replay) if asked.replay else _all(pool, asked)


def _all(pool: Pool, asked: argparse.Namespace) -> int:
    inputs = registry.plan(asked.inputs, asked.seed, asked.only)
    parts = {
        "inputs": [{"do": "input", "input": one.id} for one in inputs],
        "kills": kills.plan(asked.kills, asked.seed),
        "attacks": [j for j in attacks.jobs() if asked.only in j["id"] and not asked.no_attacks],
    }
    told = {}
    for name, jobs in parts.items():
        began = time.monotonic()
        results = []
        for result in pool.do(jobs):
            results.append(result)
            print(f"\r{name}: {len(results)} of {len(jobs)}", end="", file=sys.stderr)
        print(file=sys.stderr)
        seconds = time.monotonic() - began
        print("\n".join(report.lines(name, results, seconds)))
        groups = report.grouped(results)
        told[name] = {"seconds": round(seconds), "groups": groups, "results": results}
    if asked.out:
        asked.out.write_text(json.dumps(told, indent=1))
    return int(any(part["groups"] for part in told.values()))


def _replay(pool: Pool, identity: str) -> int:
    if identity in attacks.ATTACKS:
        job = {"do": "attack", "id": identity}
    elif identity.split("::")[1] in ("KILL", "TERM", "INT"):
        job = {"do": "kill", "id": identity}
    else:
        job = {"do": "input", "input": registry.Input.of(identity).id}
    (result,) = pool.do([job])
    print(json.dumps(result, indent=1))
    return int(bool(report.findings([result])))


if __name__ == "__main__":
    sys.exit(main())
