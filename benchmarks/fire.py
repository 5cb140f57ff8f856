"""Damaged files, interrupts and attacks, as many as there is time for.

    python -m benchmarks.fire --inputs 10000 --interrupts 200 --attacks --kept verdicts.jsonl

The same call again tries what is not in `verdicts.jsonl` yet. What is tried, and how a reader or
command is added: docs/explanation/robustness.md; the tests try a sample.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fire.engine import FINDING, NONE, Verdict, as_json, build_apart, tried, warm
from fire.registry import SEPARATOR, Input, plan


def shared_out(
    items: Sequence[Any], jobs: int, work: Callable[[Any], Verdict], kept: Path
) -> list[dict[str, Any]]:
    """What `work` gives for every item, by `jobs` processes, in no order.

    Args:
        items: what is tried; those of `kept` are not tried again.
        jobs: how many processes.
        work: makes the verdict of one.
        kept: a file of verdicts, one a line, which grows as they are made.
    """
    done = {verdict["id"] for verdict in _kept(kept)}
    left = [item for item in items if _identity(item) not in done]
    children = []
    for job in range(jobs):
        pid = os.fork()
        if not pid:
            file = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for number, item in enumerate(left[job::jobs]):
                os.write(file, (json.dumps(as_json(work(item))) + "\n").encode())
                if number % 100 == 99:
                    print(f"{job}: {number + 1} done", file=sys.stderr, flush=True)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    wanted = {_identity(item) for item in items}
    return [verdict for verdict in _kept(kept) if verdict["id"] in wanted]


def _identity(item: Any) -> str:
    from fire.attacks import identity

    return identity(item) if isinstance(item, str) else item.id


def _kept(file: Path) -> list[dict[str, Any]]:
    """The verdicts of a file; its last line may have been cut off."""
    found = []
    for line in file.read_text().splitlines() if file.is_file() else []:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


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
    parser.add_argument("--interrupts", type=int, default=0, help="commands stopped, called again")
    parser.add_argument("--attacks", action="store_true", help="links, code, browsers, two at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--only", default="", help="inputs whose id holds this; names of commands or attacks, |"
    )
    parser.add_argument("--replay", help="the id of one input, interrupt or attack, tried again")
    parser.add_argument(
        "--kept", type=Path, help="a file of verdicts, a line each; those in it are not tried again"
    )
    parser.add_argument("--made", type=Path, help="where valid inputs stay for the next call")
    given = parser.parse_args(arguments)
    began, verdicts = time.monotonic(), []
    warm()
    with tempfile.TemporaryDirectory(prefix="saematch-fire-") as home:
        seeds, kept = (
            given.made or Path(home) / "seeds",
            given.kept or Path(home) / "verdicts.jsonl",
        )
        if given.replay:
            with _chat():
                verdicts = [as_json(_again(given.replay, seeds))]
            print(json.dumps(verdicts[0], indent=1))
        if given.inputs:
            inputs = plan(given.inputs, given.seed, given.only)
            _prepare(inputs, seeds)
            verdicts += shared_out(inputs, given.jobs, lambda i: tried(i, seeds), kept)
        if given.interrupts:
            from fire.interrupts import interrupted, plan_interrupts, undisturbed

            some = plan_interrupts(given.interrupts, given.seed, given.only)
            with _chat():
                for name in sorted({one.name for one in some}):
                    undisturbed(name, seeds)
                verdicts += shared_out(some, given.jobs, lambda i: interrupted(i, seeds), kept)
        if given.attacks:
            from fire.attacks import ATTACKS, attacked

            build_apart("run", seeds)
            wanted = given.only.split("|") if given.only else [*ATTACKS]
            names = [name for name in ATTACKS if name in wanted]
            verdicts += shared_out(names, given.jobs, lambda n: attacked(n, seeds), kept)
    verdicts = [v for v in verdicts if v["verdict"] != NONE]
    print("\n".join([*_interrupts(verdicts), *report(verdicts)]))
    print(f"{len(verdicts):,} tried in {time.monotonic() - began:,.0f} s")
    return min(99, sum(v["verdict"] == FINDING for v in verdicts))


def _again(identity: str, seeds: Path) -> Verdict:
    """One input, interrupt or attack."""
    from fire.attacks import attacked
    from fire.interrupts import Interrupt, interrupted

    kind, name = identity.split(SEPARATOR)[:2]
    if kind == "attack":
        return attacked(name, seeds)
    if kind == "interrupt":
        return interrupted(Interrupt.of(identity), seeds)
    return tried(Input.of(identity), seeds)


def _interrupts(verdicts: list[dict[str, Any]]) -> list[str]:
    from fire.interrupts import table

    return table(verdicts)


@contextmanager
def _chat() -> Iterator[None]:
    """A language model to ask, in a process of its own; `judge` is given its address."""
    from fire.commands import CHAT_ADDRESS
    from fire.servers import chatting

    with chatting() as address:
        os.environ[CHAT_ADDRESS] = address
        yield


def _prepare(inputs: Sequence[Input], seeds: Path) -> None:
    from fire.registry import SURFACES

    for name in sorted({SURFACES[one.surface].seed for one in inputs}):
        build_apart(name, seeds)


if __name__ == "__main__":
    sys.exit(main())
