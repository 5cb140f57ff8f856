"""Neuronpedia on this machine, an empty cache, and no pauses between attempts."""

import pytest

from saematch.labels import bulk, fetching, neuronpedia
from support.neuronpedia import serving


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as found:
        monkeypatch.setenv(bulk.SERVER, found.address)
        monkeypatch.setenv(neuronpedia.SERVER, found.address + "/")
        yield found
