"""One column of a live widget: a conversation, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from assistants.assistant import Assistant
from assistants.utils.text import escape_control_chars, to_utf8
from assistants.widgets.base import Item
from assistants.widgets.chat.answer_stats import sums
from assistants.widgets.chat.conversation import Conversation
from assistants.widgets.chat.page_feed import PageFeed
from assistants.widgets.chat.turns import Answer


@dataclass(eq=False)
class ConversationColumn:
    """One conversation and how it is shown. ``original`` is the assistant before any edit."""

    id: str
    conversation: Conversation
    feed: PageFeed
    original: Assistant
    collapsed: bool = False
    pinned: bool = False

    @property
    def assistant(self) -> Assistant:
        """Who answers now."""
        return self.conversation.assistant

    @property
    def edited(self) -> bool:
        """Whether its system prompt is another one than its persona's."""
        return self.assistant.prompt_digest != self.original.prompt_digest

    def described(self) -> Item:
        """As the page draws its head."""
        persona = self.assistant.persona
        return {
            "id": self.id,
            "label": escape_control_chars(persona.label or persona.name),
            "persona": escape_control_chars(self.assistant.name),
            "model": escape_control_chars(self.assistant.model),
            "prompt": to_utf8(self.assistant.system_prompt or ""),
            "edited": self.edited,
            "collapsed": self.collapsed,
            "pinned": self.pinned,
        }

    def summed(self, cost: Callable[[Answer], float | None]) -> str:
        """What its answers come to, where no single answer in sight says so; else nothing."""
        answers = [answer for turn in self.conversation.turns for answer in turn.answers]
        return " · ".join(sums(answers, cost)) if self.collapsed or len(answers) > 1 else ""
