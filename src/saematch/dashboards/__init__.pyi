from .activity import Activity as Activity
from .activity import activity as activity
from .agreement import agreement as agreement
from .logits import Promoted as Promoted
from .logits import promoted as promoted
from .texts import TextSets as TextSets
from .windows import Windows as Windows
from .windows import windows as windows
