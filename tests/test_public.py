"""What docs and messages name is there: dotted names, extras."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import saematch
from saematch.errors import EXTRAS, install

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# names of files and commands that look like attributes
_FILES = re.compile(r"saematch[.](?:json|parquet|cli)")


def dotted() -> dict[str, str]:
    """Every `saematch.x.y` of the pages, and `from saematch.x import y`, with its page."""
    found = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"(?<![\w/.-])saematch(?:[.][A-Za-z_]\w*)+", text):
            found.setdefault(name, page.name)
        for module, names in re.findall(r"from (saematch[\w.]*) import ([\w, ]+)", text):
            for name in names.split(","):
                found.setdefault(f"{module}.{name.strip()}", page.name)
    return {name: page for name, page in found.items() if not _FILES.match(name)}


@pytest.mark.parametrize("name", sorted(dotted()))
def test_every_dotted_name_of_the_pages_resolves(name):
    value = saematch
    for part in name.split(".")[1:]:
        value = getattr(value, part)


def test_packages_are_there_after_a_bare_import_and_torch_is_not():
    code = (
        "import sys, saematch; assert 'torch' not in sys.modules; "
        "saematch.layers.Layers.of, saematch.activations.statistics, "
        "saematch.evaluation.evaluate_matchings, saematch.transport.fit_transport, "
        "saematch.layers.splits.splits, saematch.activations.ActivationStore, "
        "saematch.plots.figures, saematch.layers.export"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="attribute flows"):
        _ = saematch.flows  # pyright: ignore[reportAttributeAccessIssue]
    for name in dir(saematch):
        assert getattr(saematch, name) is not None


def test_extras_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra, packages in EXTRAS.items():
        needed = {re.split("[<>=]", one)[0] for one in project["optional-dependencies"][extra]}
        assert needed == set(packages.split())
        assert f"'.[{extra}]'" in install(extra)
    said = re.compile(r"saematch\[[a-z-]+\]")
    for file in (*PAGES, *sorted((ROOT / "src").rglob("*.py"))):
        assert not said.search(file.read_text(encoding="utf-8")), file


def test_every_module_can_be_imported():
    for file in (ROOT / "src" / "saematch").rglob("*.py"):
        parts = file.relative_to(ROOT / "src").with_suffix("").parts
        if parts[-1] != "__main__":
            importlib.import_module(".".join(p for p in parts if p != "__init__"))
