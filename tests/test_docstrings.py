"""Examples in docstrings are run, and give what they say."""

import ast
import doctest
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src" / "saematch"
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef


def examples() -> Iterator[doctest.DocTest]:
    for file in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            text = (ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None) or ""
            if ">>>" in text:
                name = getattr(node, "name", file.stem)
                yield doctest.DocTestParser().get_doctest(text, {}, name, str(file), None)


@pytest.mark.parametrize("example", [*examples()], ids=lambda example: example.name)
def test_an_example_gives_what_it_says(example):
    said: list[str] = []
    found = doctest.DocTestRunner().run(example, out=said.append)
    assert found.attempted > 0
    assert found.failed == 0, "".join(said)


def test_the_example_of_assign_is_among_them():
    assert "assign" in [example.name for example in examples()]
