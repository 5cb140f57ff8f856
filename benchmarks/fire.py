"""Damaged files, kills and attacks, as many as there is time for.

    python -m benchmarks.fire --inputs 10000 --kills 200 --attacks

What is tried, and how a reader or command is added: docs/explanation/robustness.md; the tests try a
sample.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fire.engine import FINDING, NONE, Verdict, as_json, build_apart, tried, warm
from fire.registry import SEPARATOR, Input, plan


def shared_out(items: Sequence[Any], jobs: int, work: Callable[[Any], Any], out: Path) -> list[Any]:
    """What `work` gives for every item, by `jobs` processes, in no order."""
    children = []
    for job in range(jobs):
        pid = os.fork()
        if not pid:
            with (out / f"{job}.jsonl").open("w") as file:
                for number, item in enumerate(items[job::jobs]):
                    file.write(json.dumps(work(item)) + "\n")
                    file.flush()
                    if number % 100 == 99:
                        print(f"{job}: {number + 1} done", file=sys.stderr, flush=True)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    lines = (line for job in range(jobs) for line in (out / f"{job}.jsonl").open())
    return [json.loads(line) for line in lines]


def report(verdicts: list[dict[str, Any]]) -> list[str]:
    """Findings by kind, the most frequent first, each with an input that shows it again."""
    counts = Counter(v["verdict"] for v in verdicts)
    lines = [", ".join(f"{n:,} {verdict}" for verdict, n in counts.most_common())]
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for verdict in verdicts:
        if verdict["verdict"] == FINDING:
            groups[verdict["kind"]].append(verdict)
    for kind, some in sorted(groups.items(), key=lambda group: -len(group[1])):
        told = " ".join(some[0]["told"].split())[:160]
        lines.append(
            f"{len(some):5}  {kind}\n       {some[0]['id']} ({some[0]['what']})\n       {told}"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, print what was found; the number of findings, up to 99."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=0, help="damaged inputs to read")
    parser.add_argument("--kills", type=int, default=0, help="commands to stop and call again")
    parser.add_argument("--attacks", action="store_true", help="links, code, browsers, two at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--only", default="", help="inputs whose id holds this; names of attacks, |"
    )
    parser.add_argument("--replay", help="the id of one input, kill or attack, tried again")
    parser.add_argument("--out", type=Path, help="a JSON file of all verdicts")
    given = parser.parse_args(arguments)
    began, verdicts = time.monotonic(), []
    warm()
    with tempfile.TemporaryDirectory(prefix="saematch-fire-") as home:
        seeds = Path(home) / "seeds"
        if given.replay:
            verdicts = [as_json(_again(given.replay, seeds))]
            print(json.dumps(verdicts[0], indent=1))
        if given.inputs:
            inputs = plan(given.inputs, given.seed, given.only)
            _prepare(inputs, seeds)
            verdicts += shared_out(
                inputs, given.jobs, lambda i: as_json(tried(i, seeds)), Path(home)
            )
        if given.kills:
            from fire.kills import killed, plan_kills

            kills = plan_kills(given.kills, given.seed, seeds)
            verdicts += shared_out(
                kills, given.jobs, lambda k: as_json(killed(k, seeds)), Path(home)
            )
        if given.attacks:
            from fire.attacks import ATTACKS, attacked

            build_apart("run", seeds)
            wanted = given.only.split("|") if given.only else [*ATTACKS]
            names = [name for name in ATTACKS if name in wanted]
            verdicts += shared_out(
                names, given.jobs, lambda n: as_json(attacked(n, seeds)), Path(home)
            )
    verdicts = [v for v in verdicts if v["verdict"] != NONE]
    print("\n".join(report(verdicts)))
    print(f"{len(verdicts):,} tried in {time.monotonic() - began:,.0f} s")
    if given.out:
        given.out.write_text(json.dumps(verdicts, indent=0))
    return min(99, sum(v["verdict"] == FINDING for v in verdicts))


def _again(identity: str, seeds: Path) -> Verdict:
    """One input, kill or attack."""
    from fire.attacks import attacked
    from fire.kills import Kill, killed

    kind, name = identity.split(SEPARATOR)[:2]
    if kind == "attack":
        return attacked(name, seeds)
    return killed(Kill.of(identity), seeds) if kind == "kill" else tried(Input.of(identity), seeds)


def _prepare(inputs: Sequence[Input], seeds: Path) -> None:
    from fire.registry import SURFACES

    for name in sorted({SURFACES[one.surface].seed for one in inputs}):
        build_apart(name, seeds)


if __name__ == "__main__":
    sys.exit(main())
