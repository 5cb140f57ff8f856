"""`saematch.inspect`: what an SAE is, before it is matched."""

from __future__ import annotations

from saematch.sae.description import Description, described
from saematch.sae.sae import Site
from saematch.workflows.saes import Given, Saes


def inspect(sae: Given, *, site: str | Site | None = None) -> Description:
    """Sizes, activation, thresholds, norms, excluded features and every guess made.

    Args:
        sae: a name as of `saematch.load`, an `SAE`, or an SAE object of SAELens or sparsify.
        site: where it reads, if it is given by name, as of `saematch.load`.

    Raises:
        SaematchError: a pattern, or an object that is no SAE.
        CheckpointError: nothing of that name is there, or it is no SAE.
    """
    return described(Saes([sae], "auto" if not isinstance(sae, str) else "cpu", site)[0])
