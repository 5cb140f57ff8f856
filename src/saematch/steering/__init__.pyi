from .output_score import OutputScore as OutputScore
from .output_score import logit_lens as logit_lens
from .output_score import output_scores as output_scores
from .steering import Change as Change
from .steering import Steering as Steering
from .text import Continuation as Continuation
from .text import continuations as continuations
