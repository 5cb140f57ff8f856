"""A run is served until it is told to stop, shown in notebooks, and exported as the same files."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace
from rich.filesize import decimal
from typer.testing import CliRunner

import saematch
from saematch import explorer
from saematch.cli import app
from saematch.errors import RunError, SaematchError
from saematch.explorer.places import NO_PAGE, Places
from saematch.explorer.server import Server
from saematch.files.records import plain
from saematch.runs.run import Run
from support.explored import ask, write_page, write_run

exporting = importlib.import_module("saematch.explorer.export")  # not the function


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("source"))


@pytest.fixture
def run(source, tmp_path):
    """A copy of its own."""
    return Run.open(shutil.copytree(source.path, tmp_path / "my <run>"))


@pytest.fixture(autouse=True)
def page(tmp_path_factory, monkeypatch):
    folder = write_page(tmp_path_factory.mktemp("page"))
    monkeypatch.setattr(explorer, "PAGE", folder)
    monkeypatch.setattr(exporting, "PAGE", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    return folder


@pytest.fixture
def opened(monkeypatch):
    """Addresses that a browser was asked to open."""
    found: list[str] = []
    monkeypatch.setattr(explorer.webbrowser, "open", lambda url: (found.append(url), True)[1])
    monkeypatch.setenv("DISPLAY", ":7")
    return found


def port_of(url: str) -> int:
    return int(url.rstrip("/").rsplit(":", 1)[1])


def test_explore_serves_until_it_is_stopped(run, opened):
    served = saematch.explore(run.path)
    try:
        assert opened == [served.url]
        port = port_of(served.url)
        assert served.url == f"http://127.0.0.1:{port}/"
        assert b"<title>page</title>" in ask(port, "/").body
        assert json.loads(ask(port, "/run/run.json").body) == plain(run.record)
        made = json.loads(ask(port, "/run/explorer/index.json").body)
        assert made["nodes"] == 192
        assert served.url in repr(served)
    finally:
        served.stop()
    served.stop()
    assert "stopped" in repr(served)
    with pytest.raises(OSError, match=r"refused|reset"):
        ask(port, "/")
    again = Server(Places(explorer.PAGE, run.path, run.path), port)
    again.stop()


def test_two_runs_side_by_side(run, opened):
    with explorer.explore(run, open_browser=False) as one, explorer.explore(run) as two:
        assert one.url != two.url
        assert opened == [two.url]
        assert ask(port_of(one.url), "/").status == ask(port_of(two.url), "/").status == 200
    for served in (one, two):
        with pytest.raises(OSError, match=r"refused|reset"):
            ask(port_of(served.url), "/")


def test_the_program_does_not_wait_for_the_server(run):
    with explorer.explore(run, open_browser=False):
        names = [t for t in threading.enumerate() if t.name == "saematch explorer"]
        assert names
        assert all(t.daemon for t in names)


def test_a_notebook_shows_the_page_inline(run, opened, monkeypatch):
    class Shell:
        kernel = object()

    class Frames(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append((tag, dict(attrs)))

    monkeypatch.setitem(
        sys.modules, "IPython", type("IPython", (), {"get_ipython": staticmethod(Shell)})
    )
    found: list = []
    with explorer.explore(run, height=432) as served:
        assert opened == []
        Frames().feed(served._repr_html_())
        tags = dict(found)
        assert tags["iframe"]["src"] == tags["a"]["href"] == served.url
        assert tags["iframe"]["height"] == "432"
        assert tags["iframe"]["title"].endswith("my <run>")  # escaped: no tag of its own
        assert set(tags) == {"iframe", "p", "a"}
    assert "iframe" not in served._repr_html_()
    assert "my &lt;run&gt;" in served._repr_html_()


def test_no_screen_no_browser(run, opened, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with explorer.explore(run):
        assert opened == []


def test_what_cannot_be_explored(tmp_path, run, page):
    with pytest.raises(RunError, match="no run directory"):
        explorer.explore(tmp_path)
    with explorer.explore(run, open_browser=False) as served, pytest.raises(SaematchError) as e:
        explorer.explore(run, port=port_of(served.url))
    assert "in use by another program" in str(e.value)
    (page / "index.html").unlink()
    for use in (lambda: explorer.explore(run), lambda: explorer.export(run, tmp_path / "out")):
        with pytest.raises(SaematchError) as e:
            use()
        assert str(e.value) == NO_PAGE


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_export_is_what_is_served(run, tmp_path):
    written = explorer.export(run, tmp_path / "out")
    files = tree(tmp_path / "out")
    assert written.sizes == {place: len(content) for place, content in files.items()}
    assert written.size == sum(map(len, files.values()))
    extra = {"README.md", ".nojekyll", "saematch-export.json"}
    with explorer.explore(run, open_browser=False) as served:
        for place in files.keys() - extra - {"index.html"}:
            assert ask(port_of(served.url), f"/{place}").body == files[place], place
    listed = {"run/run.json"}
    for entry in plain([*run.record.saes, *run.record.pairs]):
        listed |= {f"run/{v}" for v in entry.values() if str(v).endswith(".parquet")}
    for part in ("flow", "relations"):
        listed |= {f"run/{part}/{name}.parquet" for name in run.tables(part)}
    own = {place for place in files if place.startswith("run/")}
    assert {place for place in own if not place.startswith("run/explorer/")} == listed
    assert "run/explorer/index.json" in own
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


class Head(HTMLParser):
    """The title, the descriptions, and every element that is opened."""

    def __init__(self):
        super().__init__()
        self.told: dict[str, str] = {}
        self.opened: list[str] = []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.opened.append(tag)
        if tag == "meta" and "content" in found:
            self.told[found.get("name") or found.get("property")] = found["content"]

    def handle_data(self, data):
        if self.opened[-1:] == ["title"]:
            self.told.setdefault("title", data)


def head_of(folder: Path) -> Head:
    head = Head()
    head.feed((folder / "index.html").read_text(encoding="utf-8"))
    return head


def test_the_head_of_an_export_says_what_run_it_is(run, tmp_path, page):
    chain = [*pairwise(run.names)]
    matched = dict(zip(chain, (24, 43, 36), strict=True))  # of 48
    pairs = [
        replace(pair, summary=replace(pair.summary, matched=matched.get(pair.names, 1)))
        for pair in run.record.pairs
    ]
    run.record = replace(run.record, pairs=pairs)
    run._save()
    explorer.export(run, tmp_path / "out")
    told = head_of(tmp_path / "out").told
    assert told["title"] == told["og:title"] == "How features flow through toy"
    assert told["description"] == told["og:description"]
    assert told["description"].startswith("4 sparse autoencoders of toy, matched by cosine. ")
    claim = "From one layer to the next, 75 % of the features (50 to 90 %) have a match"
    assert claim in told["description"]
    assert told["og:type"] == "website"
    assert told["twitter:card"] == "summary"
    assert (page / "index.html").read_text() == "<!doctype html><title>page</title>"


def test_a_hostile_model_stays_text_in_the_head(run, tmp_path):
    name = '"><script>alert(1)</script>\u202e&amp;' + "long" * 100
    saes = [
        replace(sae, conventions=replace(sae.conventions, model=name)) for sae in run.record.saes
    ]
    run.record = replace(run.record, saes=saes)
    run._save()
    explorer.export(run, tmp_path / "out")
    head = head_of(tmp_path / "out")
    assert set(head.opened) == {"title", "meta"}
    shown = head.told["og:title"].removeprefix("How features flow through ")
    assert shown.startswith('"><script>alert(1)</script>\ufffd&amp;longlong')
    assert len(shown) == 80


def test_an_export_is_a_run_that_can_be_explored_without_a_cache(run, tmp_path, monkeypatch):
    explorer.export(run, tmp_path / "out")
    monkeypatch.setattr("saematch.explorer.tables.make", None)  # nothing is to be made
    exported = tmp_path / "out" / "run"
    assert saematch.Run.open(exported).pairs == run.pairs
    with explorer.explore(exported, open_browser=False) as served:
        index = ask(port_of(served.url), "/run/explorer/index.json").body
    assert index == (exported / "explorer/index.json").read_bytes()


def test_the_readme_heads_a_static_space(run, tmp_path):
    explorer.export(run, tmp_path / "out")
    _, head, _ = (tmp_path / "out/README.md").read_text(encoding="utf-8").split("---\n", 2)
    front = yaml.safe_load(head)
    assert front["sdk"] == "static"
    assert front["app_file"] == "index.html"
    assert front["title"] == "my <run>"


def test_strays_and_links_stay_at_home(run, tmp_path):
    (run.path / "pairs/unlisted.parquet").write_text("of an older run")
    (run.path / "notes.txt").write_text("mine")
    (run.path / "flow/.tracks.parquet.1.partial").write_text("half")
    places = explorer.export(run, tmp_path / "out").sizes
    assert not [p for p in places if "unlisted" in p or "notes" in p or "partial" in p]
    listed = run.path / "flow/tracks.parquet"
    (tmp_path / "elsewhere.parquet").write_bytes(listed.read_bytes())
    listed.unlink()
    listed.symlink_to(tmp_path / "elsewhere.parquet")
    with pytest.raises(RunError, match=r"lists flow/tracks.parquet, which is missing or a link"):
        explorer.export(run, tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_nothing_of_others_is_overwritten(run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    explorer.export(run, out)  # an empty folder will do
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("years")
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to(out)
    for place, words in (
        ("full", "not empty and no earlier export"),
        ("file", "no folder"),
        ("link", "no folder"),
        ("my <run>", "not empty and no earlier export"),
    ):
        for overwrite in (False, True):
            with pytest.raises(SaematchError, match=words):
                explorer.export(run, tmp_path / place, overwrite)
    assert tree(tmp_path / "full") == {"thesis.tex": b"years"}
    before = tree(out)
    with pytest.raises(SaematchError, match="earlier export: give another folder, or --overwrite"):
        explorer.export(run, out)
    assert tree(out) == before


def test_an_earlier_export_is_replaced_and_nothing_else(run, tmp_path, page):
    out = tmp_path / "out"
    explorer.export(run, out)
    (out / ".git").mkdir()
    (out / ".git/config").write_text("[core]")
    (page / "assets/index-1.js").rename(page / "assets/index-2.js")
    run.record = replace(run.record, finished="2030-01-01T00:00:00+00:00")
    run._save()
    explorer.export(run, out, overwrite=True)
    assert (out / ".git/config").read_text() == "[core]"
    assert not (out / "assets/index-1.js").exists()
    explorer.export(run, tmp_path / "fresh")
    replaced = tree(out)
    del replaced[".git/config"]
    assert replaced == tree(tmp_path / "fresh")


def test_a_list_that_names_files_elsewhere_removes_nothing(run, tmp_path):
    out = tmp_path / "out"
    explorer.export(run, out)
    (tmp_path / "mine.txt").write_text("mine")
    entry = json.loads((out / "saematch-export.json").read_text())
    entry["files"] |= {"../mine.txt": 4, str(tmp_path / "mine.txt"): 4}
    (out / "saematch-export.json").write_text(json.dumps(entry))
    explorer.export(run, out, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_run_that_changes_meanwhile_is_not_exported(run, tmp_path, monkeypatch):
    original = exporting._write

    def slow(*given):
        sizes = original(*given)
        run.record = replace(run.record, finished=None)
        run._save()
        return sizes

    monkeypatch.setattr(exporting, "_write", slow)
    with pytest.raises(RunError, match="changed while it was exported"):
        explorer.export(run, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my <run>"]


def test_the_command_exports(run, tmp_path):
    def command(*arguments):
        return CliRunner().invoke(app, ["explore", str(run.path), *map(str, arguments)])

    out = tmp_path / "out"
    done = command("--export", out)
    assert done.exit_code == 0, done.output
    assert done.stderr == MAKING
    total = sum(len(content) for content in tree(out).values())
    assert f"{decimal(total)}  {len(tree(out))} files in {out}" in done.output
    assert f"saematch explore {out}/run" in done.output
    again = command("--export", out)
    assert isinstance(again.exception, SaematchError)
    replaced = command("--export", out, "--overwrite")
    assert (replaced.exit_code, replaced.stderr) == (0, "")  # they were made before
    for wrong in (("--overwrite",), ("--export", out, "--port", 8000)):
        assert isinstance(command(*wrong).exception, SaematchError)


def test_the_command_shows_how_far_it_is(run, monkeypatch):
    seen: list[tuple[str, int, int]] = []

    class Bar:
        def add_task(self, what, total, completed):
            self.total = total
            seen.append((what, completed, total))
            return 0

        def update(self, task, description, completed):
            seen.append((description, completed, self.total))

    monkeypatch.setattr("saematch.cli.console.progress", lambda quiet: nullcontext(Bar()))
    monkeypatch.setattr(explorer.Explorer, "wait", lambda _: None)
    done = CliRunner().invoke(app, ["explore", str(run.path), "--no-browser"])
    assert done.exit_code == 0, done.output
    assert sum(step[0].endswith("lives of features") for step in seen) == 1
    assert seen[-1][1] == seen[-1][2] == len(seen) - 1


MAKING = "Making the tables that the page needs, once for this run.\n"
SERVE = """
import sys
from pathlib import Path
from saematch import explorer
explorer.PAGE = Path(sys.argv.pop(1))
from saematch.cli import main
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signal to send")
def test_the_command_serves_until_ctrl_c(run, page):
    command = [sys.executable, "-c", SERVE, str(page), "explore", str(run.path), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        line = it.stdout.readline()
        url = line.split(" is at ")[1].split()[0]
        assert ask(port_of(url), "/run/run.json").status == 200
        time.sleep(0.2)
        it.send_signal(signal.SIGINT)
        out, err = it.communicate(timeout=30)
    assert it.returncode == 0
    assert (out.strip(), err) == ("Stopped.", MAKING)
