"""The page of an improved persona: what it is worth, and what was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from assistants.utils import pluralize
from assistants.widgets.html.markdown import to_html
from assistants.widgets.html.render import Html, table, ui
from assistants.widgets.html.word_diff import compare_words

if TYPE_CHECKING:
    from assistants.runs.improvement import Improvement

_HELD_OUT = ["persona", "baseline", "n_cases", "effect", "low", "high", "p_adjusted", "verdict"]
_CHOICE = ["persona", "n_cases", "effect", "low", "high", "verdict"]


def improvement(value: Improvement) -> Html:
    """Return the summary, the held-out effects, the edit word by word, and the candidates."""
    parts = [ui.emphasis(value.summary), ui.bullets(value.notes)]
    old, new = value.original, value.improved
    if new is not None and value.paraphrase is not None:
        diff = compare_words(value.text_of(old), value.text_of(new))
        parts += [
            ui.emphasis(f"On the cases held out, {value.score} in {value.unit or 'its unit'}"),
            table(value.held_out[_HELD_OUT], value.held_out).body,
            ui.emphasis(f"{value.names[1]}: {diff.summary}"),
            diff.html,
            ui.folded("the paraphrase", to_html(value.text_of(value.paraphrase))),
        ]
    if not value.choice.empty:
        parts += [
            ui.emphasis("On the cases to choose by, where luck is chosen as well"),
            table(value.choice[_CHOICE], value.choice).body,
        ]
    parts.append(_candidates(value))
    facts = {"model": value.model, "proposals by": value.writer, "optimizer": value.optimizer,
             "cases": str(value.split), "run": value.run}  # fmt: skip
    body = Markup().join([*parts, ui.facts(facts)])
    return Html(body, "\n".join([value.summary, *value.notes, value.diff]))


def _candidates(value: Improvement) -> Markup:
    """Return the proposals, folded; what refused some of them is a model's text."""
    title = pluralize(len(value.candidates), "proposal")
    refused = int((value.candidates["refusal"] != "").sum())
    return ui.folded(f"{title}, {refused:,} refused", table(value.candidates).body)
