from .neuronpedia import Label as Label
from .neuronpedia import NeuronpediaId as NeuronpediaId
from .neuronpedia import labels_of_feature as labels_of_feature
from .of_run import given_labels as given_labels
from .of_run import labels_of as labels_of
from .top_tokens import top_tokens as top_tokens
