from .reproduction import Reproduction as Reproduction
from .sae_match import write_report as write_report
