"""A language model over text -> activations of SAE features, and their statistics."""

from saematch.activations.feature_activations import FeatureActivations as FeatureActivations
