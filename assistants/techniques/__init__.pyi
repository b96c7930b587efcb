from .base import UNUSED as UNUSED
from .base import USUAL as USUAL
from .base import Ask as Ask
from .base import CallModel as CallModel
from .base import Draft as Draft
from .base import Load as Load
from .base import Sidecar as Sidecar
from .base import Technique as Technique
from .base import prepare as prepare
from .enrich import Enrich as Enrich
from .memory import Memory as Memory
from .quotation import quote as quote
from .registry import BUILDERS as BUILDERS
from .registry import DEFAULT_SIDECAR as DEFAULT_SIDECAR
from .registry import BuildContext as BuildContext
from .registry import Builder as Builder
from .registry import read_entry as read_entry
from .registry import read_techniques as read_techniques

__all__ = [
    "BUILDERS",
    "DEFAULT_SIDECAR",
    "UNUSED",
    "USUAL",
    "Ask",
    "BuildContext",
    "Builder",
    "CallModel",
    "Draft",
    "Enrich",
    "Load",
    "Memory",
    "Sidecar",
    "Technique",
    "prepare",
    "quote",
    "read_entry",
    "read_techniques",
]
