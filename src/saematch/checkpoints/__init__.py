"""What others wrote -> `SAE`: one file per family of checkpoints, a registry, hub access."""

from saematch.checkpoints.loading import expand as expand
from saematch.checkpoints.loading import load as load

__all__ = ["expand", "load"]
