from .browse.browse import Browse as Browse
from .chat.chat import Chat as Chat
from .chat.compare import Compare as Compare
from .chat.conversation import Conversation as Conversation
from .chat.session_store import SessionStore as SessionStore
from .chat.turns import Answer as Answer
from .chat.turns import AnswerStore as AnswerStore
from .chat.turns import AssistantSwitch as AssistantSwitch
from .chat.turns import ConversationListener as ConversationListener
from .chat.turns import Turn as Turn
from .magics import load_magics as load_magics
from .rate.rate import Rate as Rate

__all__ = [
    "Answer",
    "AnswerStore",
    "AssistantSwitch",
    "Browse",
    "Chat",
    "Compare",
    "Conversation",
    "ConversationListener",
    "Rate",
    "SessionStore",
    "Turn",
    "load_magics",
]
