from .circuit import Circuit as Circuit
from .effects import Effects as Effects
from .effects import effects as effects
from .export import export_circuit as export_circuit
from .frozen import frozen_attention as frozen_attention
from .kept import circuits as circuits
from .kept import read_circuit as read_circuit
from .pruning import prune as prune
