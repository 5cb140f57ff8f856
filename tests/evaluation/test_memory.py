"""No step makes a table of all tokens and all features where it need not."""

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from saematch import match
from saematch.evaluation.downstream import Predictions
from saematch.evaluation.estimates import baselines
from saematch.evaluation.feature_pairs import FeaturePairs
from saematch.evaluation.fits import CHUNK, FitSums
from saematch.evaluation.per_example import SplicedPair, Tally
from saematch.evaluation.transports import fit_states
from support.saes import make_sae
from support.small_model import SmallModel, at, examples


class Largest(TorchDispatchMode):
    """Notes the most rows of any table of features that is made, by dtype."""

    def __init__(self, d_sae: int) -> None:
        super().__init__()
        self.d_sae, self.rows = d_sae, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and found.ndim == 2 and found.shape[1] == self.d_sae:
            self.rows[found.dtype] = max(self.rows.get(found.dtype, 0), found.shape[0])
        return found


def test_sums_of_activations_take_a_few_tokens_at_a_time():
    a, b = make_sae(8, 33), make_sae(8, 33, seed=1)
    x = torch.randn(3 * CHUNK, 8)
    f_a, f_b = a.encode(x), b.encode(x)
    with Largest(33) as largest:
        FitSums(a, b).add(x, x, f_a, f_b, torch.arange(len(x)))
    # the two rows of sums are float64, tables of tokens are not
    assert largest.rows[torch.float64] == 2
    assert largest.rows[torch.bool] == CHUNK


def test_a_tally_makes_no_float64_table_of_all_tokens():
    a, b = at(make_sae(), 0), at(make_sae(seed=1), 1)
    few = examples(6, seed=1)
    spliced = SplicedPair(SmallModel(), a, b)
    tally = Tally(
        spliced, baselines(spliced.fit(few)), {"match": FeaturePairs.of(match(a, b))}, len(few)
    )
    with Largest(96) as largest:
        tally.count(few)
    assert largest.rows.get(torch.float64, 0) <= len(few)
    assert largest.rows[torch.float32] == sum(len(ids) - 1 for ids in few)


def test_the_error_of_a_transport_is_made_batch_by_batch():
    a, b = at(make_sae(activation="batchtopk"), 0), at(make_sae(seed=1), 1)
    spliced = SplicedPair(SmallModel(), a, b, 40)
    texts = examples(30, seed=4)
    read = Predictions(spliced.model, spliced.sites[1], texts, 40).read
    with torch.no_grad(), Largest(96) as largest:
        error, x_b, activations = fit_states(spliced, read)
    assert largest.rows[torch.float32] <= 40 < len(error) == len(x_b)
    # a batchtopk SAE without a threshold chooses over a batch: error and activations are of one
    f = torch.from_numpy(activations.matrix.toarray())
    with torch.no_grad():
        x_a = torch.cat([spliced.hidden_states(batch).x_a for batch in read])
    torch.testing.assert_close(error, x_a - a.decode(f))
    lengths = [len(texts[n]) - 1 for batch in read for n in batch.example.tolist()]
    assert np.bincount(activations.example).tolist() == lengths
