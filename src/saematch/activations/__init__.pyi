from . import capturing as capturing
from . import partners as partners
from . import statistics as statistics
from . import subsample as subsample
from .capturing import capture as capture
from .describe import describe_features as describe_features
from .store import ActivationStore as ActivationStore
from .table import FeatureActivations as FeatureActivations
