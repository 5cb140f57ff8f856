"""What others wrote -> `SAE`: one file per family of checkpoints, a registry, hub access."""

from saematch.checkpoints.families import FAMILIES as FAMILIES
from saematch.checkpoints.families import Family as Family
from saematch.checkpoints.loading import expand as expand
from saematch.checkpoints.loading import load as load

__all__ = ["FAMILIES", "Family", "expand", "load"]
