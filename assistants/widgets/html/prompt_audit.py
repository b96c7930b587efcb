"""Whether the personas of a run reached their models, as a report says it."""

from __future__ import annotations

from assistants.results import Run
from assistants.runs.audit.verdicts import AS_WITHOUT, GOOD, OPEN
from assistants.utils.text import pluralize
from assistants.widgets.html.markdown import escape
from assistants.widgets.html.run_summary import Html, table


def delivered(run: Run) -> Html:
    """A warning for each persona that was not delivered as written, and the table of all.

    None for words of the template's own that stand there without a persona too: they are no
    part of a persona's effect.
    """
    frame = run.prompt_audit()
    good = int(frame["verdict"].isin(GOOD).sum())
    weak = int(frame["verdict"].isin(OPEN).sum())
    bad = frame[frame["ok"].eq(False).fillna(False).astype(bool)]
    said = f"{good} of {pluralize(len(frame), 'persona')} proven to be delivered as written"
    said += f", {weak} neither proven nor refuted." if weak else "."
    warnings = [
        f"{persona} on {model}: {verdict}. {note}"
        for persona, model, verdict, note in zip(
            bad["persona"], bad["model"], bad["verdict"], bad["note"], strict=True
        )
        if not note.endswith(AS_WITHOUT)
    ]
    listed = "".join(f'<li class="bad">{escape(each)}</li>' for each in warnings)
    head = "<p><b>Effects of these personas are not what they seem:</b></p>" if warnings else ""
    shown = table(frame)
    body = f"<p>{escape(said)}</p>{head}{f'<ul>{listed}</ul>' if listed else ''}{shown.body}"
    return Html(body, "\n".join([said, *warnings, shown.plain]))
