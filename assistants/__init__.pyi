from .assistant import Assistant as Assistant
from .clients import OpenAIClient as OpenAIClient
from .clients import ScriptedClient as ScriptedClient
from .clients import Tape as Tape
from .clients import TapedClient as TapedClient
from .clients import connect as connect
from .design import Design as Design
from .design import Limits as Limits
from .design import append_case as append_case
from .errors import AssistantsError as AssistantsError
from .experiment import Experiment as Experiment
from .messages import Completion as Completion
from .messages import Message as Message
from .messages import Sampling as Sampling
from .messages import Transcript as Transcript
from .personas import Library as Library
from .personas import Persona as Persona
from .results import Results as Results
from .results import Run as Run
from .runs.improvement import Improvement as Improvement
from .runs.improvement import improve as improve
from .servers import Server as Server
from .servers import serve as serve
from .trial import Case as Case
from .trial import Trial as Trial
from .widgets import Browse as Browse
from .widgets import Chat as Chat
from .widgets import Compare as Compare
from .widgets import Rate as Rate

__version__: str

__all__ = [
    "Assistant",
    "AssistantsError",
    "Browse",
    "Case",
    "Chat",
    "Compare",
    "Completion",
    "Design",
    "Experiment",
    "Improvement",
    "Library",
    "Limits",
    "Message",
    "OpenAIClient",
    "Persona",
    "Rate",
    "Results",
    "Run",
    "Sampling",
    "ScriptedClient",
    "Server",
    "Tape",
    "TapedClient",
    "Transcript",
    "Trial",
    "append_case",
    "connect",
    "improve",
    "serve",
]

def load_ipython_extension(shell: object) -> None: ...
