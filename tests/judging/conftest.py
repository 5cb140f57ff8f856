import pytest

from support.judged_world import World, make_world


@pytest.fixture(scope="session")
def nouns(tmp_path_factory) -> World:
    """To read only: tests that write take a copy of the run's folder."""
    return make_world(tmp_path_factory.mktemp("nouns"))
