"""Each test of this folder runs twice: on a pretended GPU, on any machine, and on a real one."""

from collections.abc import Iterator

import pytest
import torch

from support.pretend_gpu import pretend_gpu


@pytest.fixture(params=["pretended", pytest.param("cuda", marks=pytest.mark.gpu)])
def gpu(request) -> Iterator[torch.device]:
    """The device; what else a test compares with is made on the processor."""
    if request.param == "cuda":
        yield torch.device("cuda", 0)
        return
    with pretend_gpu():
        yield torch.device("cuda", 0)
