"""One column of a live widget: a conversation, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from assistants.assistant import Assistant
from assistants.text import to_utf8, visible
from assistants.widgets.conversation import Conversation
from assistants.widgets.facts import sums
from assistants.widgets.feed import Feed
from assistants.widgets.live import Item
from assistants.widgets.turns import Answer


@dataclass(eq=False)
class Column:
    """One conversation and how it is shown. ``original`` is the assistant before any edit."""

    id: str
    conversation: Conversation
    feed: Feed
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
            "label": visible(persona.label or persona.name),
            "persona": visible(self.assistant.name),
            "model": visible(self.assistant.model),
            "prompt": to_utf8(self.assistant.system_prompt or ""),
            "edited": self.edited,
            "collapsed": self.collapsed,
            "pinned": self.pinned,
        }

    def summed(self, cost: Callable[[Answer], float | None]) -> str:
        """What its answers come to, where no single answer in sight says so; else nothing."""
        answers = [answer for turn in self.conversation.turns for answer in turn.answers]
        return " · ".join(sums(answers, cost)) if self.collapsed or len(answers) > 1 else ""
