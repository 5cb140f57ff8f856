"""The pretended GPU refuses what a real one refuses, and allows what that allows."""

import pytest
import torch

REFUSED = {
    "a sum": lambda here, there: there + here,
    "a product": lambda here, there: here @ there,
    "in place": lambda here, there: here.add_(there),
    "an index there of what is here": lambda here, there: here[there[0].long()],
    "a value beside an index": lambda here, there: there.__setitem__(there[0].long(), here),
    "numpy": lambda here, there: there.numpy(),
    "a number there": lambda here, there: here * there.sum(),
    "a generator of the processor": lambda here, there: torch.rand(
        3, device=there.device, generator=torch.Generator()
    ),
}
ALLOWED = {
    "a number of here": lambda here, there: there * here.sum(),
    "an index of here": lambda here, there: there[here[0].long()],
    "a copy": lambda here, there: there.copy_(here),
    "a slice filled": lambda here, there: there.__setitem__(slice(0, 1), here[:1]) or there,
    "moved": lambda here, there: here.to(there),
    "made there": lambda here, there: torch.zeros(3, device=there.device),
    "like one there": lambda here, there: torch.ones_like(there) + there.new_zeros(3),
    "a generator there": lambda here, there: torch.rand(
        3, device=there.device, generator=torch.Generator(there.device)
    ),
    "a view": lambda here, there: there.view(9)[:4],
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what, gpu):
    here, there = torch.ones(3, 3), torch.ones(3, 3).to(gpu)
    with pytest.raises((RuntimeError, TypeError)):
        REFUSED[what](here, there)


@pytest.mark.parametrize("what", ALLOWED)
def test_allowed(what, gpu):
    found = ALLOWED[what](torch.ones(3, 3), torch.ones(3, 3).to(gpu))
    assert (found.device, found.is_cuda, found.cpu().device.type) == (gpu, True, "cpu")


def test_a_view_is_of_the_same_numbers_and_a_copy_is_not(gpu):
    here = torch.zeros(3, 3)
    there = here.to(gpu)
    there[0].fill_(2)
    assert there.cpu().tolist() == [[2, 2, 2], [0, 0, 0], [0, 0, 0]]
    assert not here.any()
