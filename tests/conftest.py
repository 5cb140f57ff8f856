"""What every test stands on: settings, and fixtures that several folders share."""

import os
import warnings

import jaxtyping
import pytest
import torch
from hypothesis import settings

from support import shapes
from support.chromium import chromium

shapes.install()
# the same examples every time, on a machine however slow
settings.register_profile("saematch", deadline=None, derandomize=True)
settings.load_profile("saematch")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What needs a GPU, or a browser, is skipped where there is none; never for a browser in CI."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    if item.get_closest_marker("browser") and chromium() is None:
        missing = "no Chromium on this machine (Debian: apt-get install chromium)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)


@pytest.fixture(autouse=True)
def wrong_arrays(request):
    """Tests of what saematch itself says of wrong arrays must get that far."""
    wrong = request.node.get_closest_marker("wrong_arrays") is not None
    jaxtyping.config.update("jaxtyping_disable", wrong)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(64, 32, generator=torch.Generator().manual_seed(99)) * 2


@pytest.fixture(scope="session")
def sae_lens():
    """SAELens, which takes seconds to import; its dependencies warn while they are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sae_lens
    return sae_lens


@pytest.fixture(autouse=True)
def engine_only(monkeypatch, request):
    """Small problems are solved with all scores at hand; tests of assignment ask the engine."""
    if "assignment" in request.path.parts and "whole_matrix" not in request.fixturenames:
        from saematch.assignment import dense

        monkeypatch.setattr(dense, "FEW", -1)


@pytest.fixture
def whole_matrix():
    """For tests of the solver that holds all scores."""
