from .cost import Cost as Cost
from .cost import cost_of_pair as cost_of_pair
from .forecast import Forecast as Forecast
from .machine import MACHINES as MACHINES
from .machine import Machine as Machine
from .machine import this_machine as this_machine
