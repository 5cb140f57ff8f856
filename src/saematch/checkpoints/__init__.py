"""Checkpoint files -> `SAE`: one file per family, a registry, access to the hub."""

from saematch.checkpoints.families import FAMILIES as FAMILIES
from saematch.checkpoints.families import Family as Family
from saematch.checkpoints.loading import expand as expand
from saematch.checkpoints.loading import load as load

__all__ = ["FAMILIES", "Family", "expand", "load"]
