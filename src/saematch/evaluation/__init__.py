"""What a matching is worth: hidden states carried across layers, and what they cost the model."""

from saematch import lazy as _lazy
from saematch.evaluation.estimates import Estimate as Estimate
from saematch.evaluation.estimates import Seen as Seen
from saematch.evaluation.estimates import baselines as baselines
from saematch.evaluation.estimates import carried as carried
from saematch.evaluation.estimates import partial as partial
from saematch.evaluation.evaluate import Options as Options
from saematch.evaluation.evaluate import evaluate_matchings as evaluate_matchings
from saematch.evaluation.of_run import evaluable as evaluable
from saematch.evaluation.of_run import evaluate_run as evaluate_run
from saematch.evaluation.pairing import Pairing as Pairing
from saematch.evaluation.scores import Resamples as Resamples
from saematch.evaluation.splice import losses as losses

__all__ = [
    "Estimate",
    "Options",
    "Pairing",
    "Resamples",
    "Seen",
    "baselines",
    "carried",
    "evaluable",
    "evaluate_matchings",
    "evaluate_run",
    "losses",
    "partial",
]


def __getattr__(name: str):
    return _lazy.attribute(__name__, __path__, {}, name)
