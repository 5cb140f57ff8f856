"""README and docs: links lead somewhere, names resolve, code runs, commands are those there are.

A block that cannot run here stands under `<!-- not run: REASON -->`; its names and options are
checked all the same.
"""

import ast
import importlib
import re
import shlex
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
import typer

import saematch
from saematch import METHODS, VIEWS
from saematch.checkpoints import FAMILIES
from saematch.cli import app
from saematch.evaluation import ESTIMATES
from saematch.explorer import Explorer
from saematch.judging import JUDGES
from saematch.plots import FIGURES

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "demo" / "README.md",
    ROOT / "src" / "saematch" / "data" / "README.md",
    ROOT / "src" / "saematch" / "data" / "smollm2" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
REGISTRIES = (METHODS, VIEWS, FAMILIES, ESTIMATES, JUDGES, FIGURES)
RUN = ROOT / "docs" / "start.md"  # whose commands are run, not only parsed
_BLOCK = re.compile(
    r"(<!-- not run: (?P<why>.+?) -->\n)?```(?P<kind>\w*)\n(?P<code>.*?)^```$", re.M | re.S
)
# names of files that look like attributes
_FILES = re.compile(r"saematch[.](?:json|parquet)")


@dataclass(frozen=True)
class Block:
    page: Path
    kind: str
    code: str
    why: str | None  # it is not run

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.code.strip().splitlines()[0][:60]}"


def blocks(page: Path) -> list[Block]:
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(page, one["kind"], one["code"], one["why"]) for one in found]


def pages_with(kind: str) -> list[Path]:
    return [page for page in PAGES if any(block.kind == kind for block in blocks(page))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(code: str) -> list[list[str]]:
    """The arguments of every saematch command of a shell block, braces expanded as by bash."""
    lines = re.sub(r"\\\n\s*", " ", code).splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    quoted = {word for line in lines for word in re.findall(r"'([^']*)'", line)}
    return [
        [one for word in line[1:] for one in ([word] if word in quoted else braces(word))]
        for line in words
        if line[:1] == ["saematch"]
    ]


def braces(word: str) -> list[str]:
    """`{a,b}` as bash expands it; `{0-5}` is saematch's own and stays."""
    parts = re.split(r"(\{[^{}]*,[^{}]*\})", word)
    choices = [
        part[1:-1].split(",") if part.startswith("{") and "," in part else [part] for part in parts
    ]
    return ["".join(one) for one in product(*choices)]


def resolve(dotted: str) -> object:
    value = saematch
    for part in dotted.split(".")[1:]:
        value = getattr(value, part)
    return value


def dotted_names() -> dict[str, str]:
    """Every `saematch.x.y` of the pages, and `from saematch.x import y`, with its page."""
    found: dict[str, str] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for one in re.findall(r"(?<![\w/.-])saematch(?:[.][A-Za-z_]\w*)+", text):
            found.setdefault(one, name(page))
        for module, names in re.findall(r"from (saematch[\w.]*) import ([\w, ]+)", text):
            for one in names.split(","):
                found.setdefault(f"{module}.{one.strip()}", name(page))
    groups = {registry.group for registry in REGISTRIES}  # of entry points
    return {one: page for one, page in found.items() if one not in groups and not _FILES.match(one)}


@pytest.mark.parametrize("dotted", sorted(dotted_names()))
def test_every_dotted_name_resolves(dotted):
    resolve(dotted)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.M)
            assert anchor in [slug(heading) for heading in headings], target


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        if page.name != "README.md":
            assert (
                f"({page.relative_to(ROOT / 'docs')})" in index
                or f"({page.relative_to(ROOT / 'docs')}#" in index
            )


def test_pages_of_docs_that_code_names_are_there():
    for folder, pattern in (
        ("src", "*.py"),
        ("web/src", "*.ts"),
        ("benchmarks", "*.py"),
        ("demo", "*.py"),
    ):
        for file in (ROOT / folder).rglob(pattern):
            for page in re.findall(r"docs/[\w/-]+[.]\w+", file.read_text(encoding="utf-8")):
                assert (ROOT / page).exists(), f"{name(file)} names {page}"


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("python"), ids=name)
def test_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_added", {})  # what a page registers is gone after it
    if page.name == "run-directory.md":  # it reads the run of `saematch demo`
        saematch.match("saematch:resid_post_2", "saematch:resid_post_3", out="runs/demo")
    known: dict[str, object] = {}
    try:
        for block in blocks(page):
            if block.kind == "python":
                code = compile(block.code, str(block), "exec")
                if block.why:
                    names_resolve(block.code)
                else:
                    exec(code, known)
    finally:
        for value in known.values():
            if isinstance(value, Explorer):
                value.stop()


def names_resolve(code: str) -> None:
    """That what is imported from saematch is there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("saematch"):
            module = importlib.import_module(node.module or "")
            for one in node.names:
                assert hasattr(module, one.name)


ALL = [
    (block, words)
    for page in PAGES
    for block in blocks(page)
    if block.kind == "sh"
    for words in commands(block.code)
]


@pytest.mark.parametrize(
    ("block", "words"), ALL, ids=[f"{name(b.page)}: {' '.join(w)[:60]}" for b, w in ALL]
)
def test_every_command_is_one_that_there_is(block, words):
    parsed(words)


def parsed(words: list[str]):
    """The command and its context, parsed by the command line itself."""
    group = typer.main.get_command(app)
    with group.make_context("saematch", list(words)) as context:
        command, rest = group.get_command(context, words[0]), words[1:]
        assert command is not None, words[0]
        return command, command.make_context(words[0], rest, parent=context)


def test_an_option_that_is_not_there_is_found():
    with pytest.raises(Exception, match="--metod"):
        parsed(["match", "a", "b", "--metod", "cosine"])
    with pytest.raises(Exception, match="nothing"):
        parsed(["nothing"])


@pytest.mark.slow
def test_commands_of_the_first_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block in blocks(RUN):
        for words in commands(block.code) if block.kind == "sh" else ():
            if words[0] != "explore":  # it serves until it is stopped
                with pytest.raises(SystemExit) as end:
                    app(words)
                assert end.value.code == 0, words
                assert capsys.readouterr().out
