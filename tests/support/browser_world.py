"""A run of the shipped SAEs with all that the page shows, served and exported, in a browser."""

import pytest
from typer.testing import CliRunner

from saematch.cli import app
from saematch.explorer import explore
from saematch.explorer.export import export
from saematch.runs.run import Run
from support.browsing import PATIENCE, hosted, watched
from support.chromium import chromium

TEXTS = ("--text", "saematch:prose", "--text", "saematch:code")
STREAM = [f"saematch:resid_post_{layer}" for layer in range(2, 6)]
MODULES = ["saematch:attn_out_3", "saematch:mlp_out_3"]


def called(*arguments: object) -> None:
    result = CliRunner().invoke(app, [*map(str, arguments), "-q"])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="session")
def shipped_run(tmp_path_factory):
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("explored")
    run, acts = folder / "run", folder / "acts"
    saes = [*STREAM, *MODULES]
    called("flow", *saes, "--method", "feature-flow", "--reach", 2, "-o", run)
    model = ("--model", "saematch:model", *TEXTS)
    called("capture", *saes, *model, "--examples", 6, "--length", 100, "-o", acts)
    called("relate", run, "--activations", acts)
    small = ("--examples", 4, "--length", 20, "--fit-examples", 8, "--resamples", 30)
    called("evaluate", run, *model, *small, "--quantiles", "0.5", "--reach", 1)
    return Run.open(run)


@pytest.fixture(scope="session")
def served_url(shipped_run):
    with explore(shipped_run, open_browser=False) as explorer:
        yield explorer.url


@pytest.fixture(scope="session")
def exported_url(shipped_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    export(shipped_run, folder)
    yield from hosted(folder)


# of a module: its event loop would be in the way of other tests
@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        sync_api.expect.set_options(timeout=1000 * PATIENCE)
        made = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(params=["served", "exported"])
def tab(request, browser):
    """A page of the run; nothing may fail in it, and nothing be asked of another host."""
    url = request.getfixturevalue(f"{request.param}_url")
    yield from watched(browser, url)
