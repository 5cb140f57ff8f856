from . import texts as texts
from .generate import write as write
from .language_model import LanguageModel as LanguageModel
from .language_model import open_model as open_model
from .texts import open_texts as open_texts
from .texts import tokenise as tokenise
