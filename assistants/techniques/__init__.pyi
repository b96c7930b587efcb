from .base import UNUSED as UNUSED
from .base import USUAL as USUAL
from .base import Ask as Ask
from .base import CallModel as CallModel
from .base import Draft as Draft
from .base import Load as Load
from .base import Sidecar as Sidecar
from .base import Technique as Technique
from .base import name_suffix as name_suffix
from .base import prepare as prepare
from .builder import BuildContext as BuildContext
from .builder import Builder as Builder
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
from .plugins import TRIAL_COLUMNS as TRIAL_COLUMNS
from .plugins import PluginTechnique as PluginTechnique
from .plugins import TechniquePlugin as TechniquePlugin
from .quotation import quote as quote
from .registry import BUILDERS as BUILDERS
from .registry import TECHNIQUE_PLUGINS as TECHNIQUE_PLUGINS
from .registry import application_order as application_order
from .registry import read_entry as read_entry
from .registry import read_techniques as read_techniques

__all__ = [
    "BUILDERS",
    "TECHNIQUE_PLUGINS",
    "TRIAL_COLUMNS",
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
    "PluginTechnique",
    "RetrievalScores",
    "Sidecar",
    "Technique",
    "TechniquePlugin",
    "application_order",
    "check_citations",
    "find_knowledge",
    "name_suffix",
    "prepare",
    "quote",
    "read_corpus",
    "read_entry",
    "read_techniques",
    "retrieval_scores",
]
