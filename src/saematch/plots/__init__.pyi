from .figures import FIGURES as FIGURES
from .figures import figures as figures
from .save import save as save
from .tables import Missing as Missing
