"""One column of a live widget: a conversation, and its view settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from assistants.assistant import Assistant
from assistants.utils import escape_control_chars, to_utf8
from assistants.widgets.base import Item
from assistants.widgets.chat.answer_stats import total_facts
from assistants.widgets.chat.conversation import Conversation
from assistants.widgets.chat.page_feed import PageFeed
from assistants.widgets.chat.turns import Answer

_LABELS = {"enrich": "Rewrite question", "memory": "Short memory", "knowledge": "Look up notes"}
"""The text of each checkbox, by technique."""


@dataclass(eq=False)
class ConversationColumn:
    """One conversation and its view settings; ``original`` is the assistant before any edit."""

    id: str
    conversation: Conversation
    feed: PageFeed
    original: Assistant
    is_collapsed: bool = False
    is_pinned: bool = False

    @property
    def assistant(self) -> Assistant:
        """The assistant that answers now."""
        return self.conversation.assistant

    @property
    def is_edited(self) -> bool:
        """True if its system prompt differs from its persona's."""
        return self.assistant.prompt_digest != self.original.prompt_digest

    def head(self) -> Item:
        """Return the column's head as the page draws it."""
        persona = self.assistant.persona
        return {
            "id": self.id,
            "label": escape_control_chars(persona.label or persona.name),
            "persona": escape_control_chars(self.assistant.name),
            "model": escape_control_chars(self.assistant.model),
            "prompt": to_utf8(self.assistant.system_prompt or ""),
            "edited": self.is_edited,
            "collapsed": self.is_collapsed,
            "pinned": self.is_pinned,
            "techniques": self._techniques(),
        }

    def _techniques(self) -> list[Item]:
        """Return those to switch on and off, as the page draws them."""
        used = self.assistant.factors
        labels = dict(_LABELS)
        if self.assistant.persona.knowledge is None and "knowledge" not in used:
            del labels["knowledge"]
        labels |= {name: name for name in used if name not in labels}
        return [
            {"name": name, "label": escape_control_chars(label), "on": name in used}
            for name, label in labels.items()
        ]

    def totals(self, cost: Callable[[Answer], float | None]) -> str:
        """Return the totals of its answers, unless the only answer in sight shows them itself."""
        answers = [answer for turn in self.conversation.turns for answer in turn.answers]
        if not self.is_collapsed and len(answers) < 2:
            return ""
        return " · ".join(total_facts(answers, cost))
