from . import fitting as fitting
from .downstream import Downstream as Downstream
from .fitting import Schedule as Schedule
from .fitting import fit_transport as fit_transport
from .fitting import fit_transports as fit_transports
from .reading import REACHES as REACHES
from .reading import Reach as Reach
from .sparse import SparseTransport as SparseTransport
