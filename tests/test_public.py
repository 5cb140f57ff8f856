"""What a bare import gives, and the extras that messages name; names in docs: test_docs.py."""

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
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


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
