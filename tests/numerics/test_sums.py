import numpy as np
import pytest
import torch

from saematch.numerics.sums import norms, sums


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [0, 1, 32, 77])
def test_sums_and_norms_in_float64(rows, dtype):
    whole = torch.randn(rows, 60, generator=torch.manual_seed(0), dtype=dtype) * 1e25
    for x in (whole, whole[:, 7:50], whole[:, ::3]):
        found = norms(x)
        assert found.dtype == torch.float64
        # squares of these overflow float32
        np.testing.assert_allclose(found, np.linalg.norm(x.double().numpy(), axis=1), rtol=1e-14)
        expected = x.double().numpy().sum(1)
        np.testing.assert_allclose(sums(x), expected, rtol=1e-12, atol=1e13)
