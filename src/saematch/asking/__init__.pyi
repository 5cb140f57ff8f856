from .answers import Answer as Answer
from .endpoint import Endpoint as Endpoint
from .endpoint import Forecast as Forecast
from .limits import BudgetError as BudgetError
from .ways import Question as Question
