"""One pool of processes and one folder of valid inputs for all tests of this folder."""

import sys

import pytest

from fire.engine import Pool

collect_ignore = [] if sys.platform == "linux" else ["test_fire.py", "test_engine.py"]


def pytest_collection_modifyitems(items):
    for item in items:
        if "fire" in item.path.parts:
            item.add_marker("fire")


@pytest.fixture(scope="session")
def pool(tmp_path_factory):
    with Pool(tmp_path_factory.mktemp("fire"), 2, patience=120) as made:
        made.prepare()
        yield made
