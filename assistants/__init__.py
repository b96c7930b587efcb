"""How does a system prompt change what a language model says, and is the change real?

Names are imported when they are first used, so that ``import assistants`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assistants.assistant import Assistant
    from assistants.clients import OpenAIClient, ScriptedClient, Tape, TapedClient, connect
    from assistants.design import Limits, append_case
    from assistants.errors import AssistantsError
    from assistants.experiment import Experiment
    from assistants.messages import Completion, Message, Sampling, Transcript
    from assistants.personas import Library, Persona
    from assistants.results import Results, Run
    from assistants.servers import Server, serve
    from assistants.trial import Case, Trial
    from assistants.widgets import Browse, Chat, Compare, Rate

__version__ = "0.1.0"

_HOME = {
    "Assistant": "assistants.assistant",
    "AssistantsError": "assistants.errors",
    "Browse": "assistants.widgets",
    "Case": "assistants.trial",
    "Chat": "assistants.widgets",
    "Compare": "assistants.widgets",
    "Completion": "assistants.messages",
    "Experiment": "assistants.experiment",
    "Library": "assistants.personas",
    "Limits": "assistants.design",
    "Message": "assistants.messages",
    "OpenAIClient": "assistants.clients",
    "Persona": "assistants.personas",
    "Rate": "assistants.widgets",
    "Results": "assistants.results",
    "Run": "assistants.results",
    "Sampling": "assistants.messages",
    "ScriptedClient": "assistants.clients",
    "Server": "assistants.servers",
    "Tape": "assistants.clients",
    "TapedClient": "assistants.clients",
    "Transcript": "assistants.messages",
    "Trial": "assistants.trial",
    "append_case": "assistants.design",
    "connect": "assistants.clients",
    "serve": "assistants.servers",
}

__all__ = [
    "Assistant", "AssistantsError", "Browse", "Case", "Chat", "Compare", "Completion", "Experiment",
    "Library", "Limits", "Message", "OpenAIClient", "Persona", "Rate", "Results", "Run", "Sampling",
    "ScriptedClient", "Server", "Tape", "TapedClient", "Transcript", "Trial",
    "append_case", "connect", "serve",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'assistants' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext assistants``: ``%%ask``, ``%personas``, ``%models`` and completion of names."""
    import_module("assistants.widgets").load_magics(shell)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
