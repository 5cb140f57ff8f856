"""The help: instant, whole sentences, choices; and a function for every command."""

import inspect
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import saematch
from saematch.cli import app
from saematch.cli.options import comma_list

COMMANDS = {command.name: command for command in app.registered_commands}


def help_of(*command: str, columns: int = 300) -> str:
    done = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_function_of_its_name(name):
    assert name is not None
    function = getattr(saematch, name)
    assert function.__module__ == f"saematch.workflows.{name}"
    assert "Raises:" in (inspect.getdoc(function) or "")


@pytest.mark.parametrize("name", COMMANDS)
def test_paragraphs_are_not_broken_where_there_is_room(name):
    assert name is not None
    text = inspect.getdoc(COMMANDS[name].callback)
    assert text
    shown = help_of(name)
    for paragraph in text.split("\n\n"):
        assert " ".join(paragraph.split()) in shown


def test_options_stand_in_groups_with_their_choices():
    for command in ("match", "flow"):
        shown = help_of(command)
        groups = [
            "Options of method sae-match",
            "Options of other methods",
            "Significance",
            "Activations",
        ]
        places = [shown.index(f"─ {group} ─") for group in groups]
        assert places == sorted(places)
        assert "<covariance|rotation|none>" in shown
        assert "<auto|threshold|decoder-norm|activation|none>" in shown
        assert "Weight of the encoder term." in shown


def test_no_help_loads_anything_heavy():
    code = (
        "import sys; from saematch.cli import app\n"
        "for command in [[]] + [[c.name] for c in app.registered_commands]:\n"
        "    try: app([*command, '--help'])\n"
        "    except SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'polars', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert done.stdout.count("Usage") == 1 + len(COMMANDS)


def test_a_list_with_commas():
    import typer

    numbers = comma_list(float, "two numbers", 2)
    assert numbers("0.5, 1") == (0.5, 1.0)
    assert numbers((1.0, 2.0)) == (1.0, 2.0)
    for wrong in ("1", "1,2,3", "1,x", ""):
        with pytest.raises(typer.BadParameter, match="is not two numbers"):
            numbers(wrong)
