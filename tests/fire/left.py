"""What a command left: files and what is in them, whole or not, like those of another or not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from saematch.files.atomic import SUFFIX
from saematch.files.lock import LOCK

# what differs from one time to the next in JSON files
_MOMENT = rb'"\d{4}-\d\d-\d\dT[^"]+"|"(?:seconds|resident_bytes)": [-\d.e]+'


def snapshot(place: Path) -> dict[str, Any]:
    """Visible files and what is in them, but for dates and times."""
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    found = {}
    for file in files:
        name = file.name if file == place else file.relative_to(place).as_posix()
        if any(part.startswith(".") for part in name.split("/")) and name != ".nojekyll":
            continue
        content = file.read_bytes()
        if file.suffix == ".json":
            content = re.sub(_MOMENT, b'""', content)
        if name.endswith(("run/explorer/index.json", "saematch-export.json")):
            content = b""  # digests and sizes of what has dates
        if file.suffix == ".html" and "figures" in str(place):
            content = re.sub(rb"[0-9a-f]{8}-[0-9a-f-]{27}", b"", content)
        if name == "report.html":
            content = re.sub(rb"<h2>Time and memory</h2>.*?</section>", b"", content, flags=re.S)
        found[name] = content
    return found


def differs(whole: dict[str, Any], there: dict[str, Any]) -> str | None:
    """What tells one snapshot from that of an undisturbed command."""
    if missing := sorted(whole.keys() - there.keys()):
        return f"missing afterwards: {', '.join(missing)[:200]}"
    if more := sorted(there.keys() - whole.keys()):
        return f"left over: {', '.join(more)[:200]}"
    changed = [name for name in whole if whole[name] != there[name]]
    return f"other content: {', '.join(changed)[:200]}" if changed else None


def half_written(place: Path) -> str | None:
    """What is wrong with the visible files that a stopped command left."""
    files = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
    for file in files:
        if file.name.startswith(".") or any(part.startswith(".") for part in file.parts):
            continue
        if file.suffix == ".json":
            try:
                json.loads(file.read_text())
            except ValueError:
                return f"half-written {file.name}"
        if file.suffix == ".parquet" and file.read_bytes()[-4:] != b"PAR1":
            return f"half-written {file.name}"
    return None


def partial(place: Path) -> str | None:
    """A file that a command which ended by itself, or by Ctrl-C, did not clear away.

    Ctrl-C while the lock clears away its own leaves that; the next writer removes it.
    """
    there = place.rglob(f".*{SUFFIX}") if place.is_dir() else ()
    found = sorted(p.name for p in there if not p.name.startswith(LOCK))
    return f"not cleared away: {found[0]}" if found else None


def read(place: Path) -> str | None:
    """Open every run and store below `place` and read every table that it lists.

    Returns:
        What a reader is told where one cannot be read.
    """
    from saematch.activations.store import ActivationStore
    from saematch.errors import SaematchError
    from saematch.runs.records import SECTIONS
    from saematch.runs.run import Run

    try:
        for file in sorted(place.rglob("run.json")):
            if json.loads(file.read_text()).get("format") != "saematch run":
                continue  # of an export
            run = Run.open(file.parent)
            for name in run.names:
                run.features(name), run.contexts(name)
            for pair in run.pairs:
                run.pair(*pair), run.candidates(*pair), run.sources(*pair), run.null(*pair)
            for section in SECTIONS:
                for name in run.tables(section):
                    run.table(section, name)
        for file in sorted(place.rglob("cache.json")):
            store = ActivationStore.open(file.parent)
            for name in store.names:
                list(store.shards(name))
            list(store.token_shards())
    except SaematchError as error:
        return f"a reader is told: {error}"
    return None
