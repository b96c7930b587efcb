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
from .knowledge.chunks import Chunk as Chunk
from .knowledge.citations import Citations as Citations
from .knowledge.citations import check_citations as check_citations
from .knowledge.corpus import Corpus as Corpus
from .knowledge.corpus import read_corpus as read_corpus
from .knowledge.evaluation import RetrievalScores as RetrievalScores
from .knowledge.evaluation import retrieval_scores as retrieval_scores
from .knowledge.folders import find_knowledge as find_knowledge
from .knowledge.retrieval import Hit as Hit
from .knowledge.technique import Knowledge as Knowledge
from .memory import Memory as Memory
from .quotation import quote as quote
from .registry import BUILDERS as BUILDERS
from .registry import BuildContext as BuildContext
from .registry import Builder as Builder
from .registry import read_entry as read_entry
from .registry import read_techniques as read_techniques

__all__ = [
    "BUILDERS",
    "UNUSED",
    "USUAL",
    "Ask",
    "BuildContext",
    "Builder",
    "CallModel",
    "Chunk",
    "Citations",
    "Corpus",
    "Draft",
    "Enrich",
    "Hit",
    "Knowledge",
    "Load",
    "Memory",
    "RetrievalScores",
    "Sidecar",
    "Technique",
    "check_citations",
    "find_knowledge",
    "prepare",
    "quote",
    "read_corpus",
    "read_entry",
    "read_techniques",
    "retrieval_scores",
]
