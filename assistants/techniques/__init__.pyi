from .base import UNUSED as UNUSED
from .base import USUAL as USUAL
from .base import Ask as Ask
from .base import CallModel as CallModel
from .base import Draft as Draft
from .base import Load as Load
from .base import Sidecar as Sidecar
from .base import Technique as Technique
from .base import prepare as prepare

__all__ = [
    "UNUSED",
    "USUAL",
    "Ask",
    "CallModel",
    "Draft",
    "Load",
    "Sidecar",
    "Technique",
    "prepare",
]
