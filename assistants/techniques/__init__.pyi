from .base import UNUSED as UNUSED
from .base import USUAL as USUAL
from .base import Ask as Ask
from .base import CallModel as CallModel
from .base import Draft as Draft
from .base import Load as Load
from .base import Sidecar as Sidecar
from .base import Technique as Technique
from .base import prepare as prepare
from .knowledge.chunks import Chunk as Chunk
from .knowledge.citations import Citations as Citations
from .knowledge.citations import check_citations as check_citations
from .knowledge.corpus import Corpus as Corpus
from .knowledge.corpus import read_corpus as read_corpus
from .knowledge.folders import find_knowledge as find_knowledge
from .knowledge.retrieval import Hit as Hit
from .knowledge.technique import Knowledge as Knowledge

__all__ = [
    "UNUSED",
    "USUAL",
    "Ask",
    "CallModel",
    "Chunk",
    "Citations",
    "Corpus",
    "Draft",
    "Hit",
    "Knowledge",
    "Load",
    "Sidecar",
    "Technique",
    "check_citations",
    "find_knowledge",
    "prepare",
    "read_corpus",
]
