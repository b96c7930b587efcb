"""The things that techniques did to a question, as a person reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from assistants.messages import TechniqueRecord
from assistants.utils import pluralize, truncate_line
from assistants.widgets.html.markdown import to_html
from assistants.widgets.html.render import ui

_LONGEST_SUMMARY = 100


def techniques_html(records: Sequence[TechniqueRecord]) -> Markup:
    """Return safe HTML: a line for each technique, which opens to what it added or left out.

    It is empty where there was none.
    """
    return Markup().join(map(_record, records))


def _record(record: TechniqueRecord) -> Markup:
    if record.failure is not None:
        return ui.emphasis(f"{record.technique} failed, and was left out: {record.failure}")
    body = Markup().join(_details(record))
    summary = f"{record.technique}: {_summary(record.facts)}"
    return ui.folded(truncate_line(summary, _LONGEST_SUMMARY), body)


def _summary(facts: Mapping[str, Any]) -> str:
    """Return in a few words what was done."""
    if (passages := facts.get("passages")) is not None:
        return pluralize(len(passages), "passage")
    if isinstance(rewrite := facts.get("rewrite"), str):
        return rewrite
    plain = (f"{name} {value}" for name, value in facts.items() if isinstance(value, (str, int)))
    return ", ".join(plain) or "done"


def _details(record: TechniqueRecord) -> Iterator[Markup]:
    for name, value in record.facts.items():
        if isinstance(value, list):
            for number, part in enumerate(value, start=1):
                if not isinstance(part, Mapping):
                    yield ui.small([f"{name} {number}: {part}"])
                    continue
                place = f"{part['source']}:{part['line']}" if "source" in part else name
                yield ui.small(
                    [f"[{number}] {place}", *map(str, filter(None, [part.get("heading")]))]
                )
                yield ui.quote(to_html(str(part.get("text", ""))))
        elif isinstance(value, str) and name not in ("style", "send", "mode"):
            yield ui.small([name])
            yield ui.quote(to_html(value))
        else:
            yield ui.small([f"{name}: {value}"])
    for call in record.calls:
        usage = call.completion.usage
        tokens = [n for n in (usage.input_tokens, usage.output_tokens) if n is not None]
        seconds = call.completion.total_s
        yield ui.small([
            call.model,
            pluralize(sum(tokens), "token") if len(tokens) == 2 else "tokens unknown",
            *([f"{seconds:.1f} s"] if seconds is not None else []),
        ])  # fmt: skip
