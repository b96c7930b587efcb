"""Whatever a persona's text is, it is called delivered if and only if it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.messages import Message
from assistants.runs.audit import AuditResult
from support.template_server import VERDICTS, TemplateServer, audited, template

GOOD = sorted(name for name, verdict in VERDICTS.items() if verdict == "delivered")
BAD = sorted(set(VERDICTS) - set(GOOD))
QUESTION = [Message("user", "Why?")]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
HARD = st.sampled_from(
    ["{{ x }}", "{% if %}", "e\u0301", "\u202e", "\r\n", "\x00", "🏳️‍🌈", " .", "<b>", "system\n"]
)
PERSONAS = st.lists(TEXT | HARD, min_size=1, max_size=4).map("".join).filter(str.strip)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, TemplateServer]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(TemplateServer(template(name))) for name in VERDICTS}


def found_out(server: TemplateServer, text: str) -> AuditResult:
    # As the value of a variable, so that braces in it are sent as they stand.
    return asyncio.run(audited(server, "{{ text }}", QUESTION, variables={"text": text}))


@settings(max_examples=60)
@given(name=st.sampled_from(GOOD), text=PERSONAS)
def test_good_templates_deliver_every_text(
    servers: dict[str, TemplateServer], name: str, text: str
) -> None:
    """Word for word, whatever characters it is made of, and shown where it stands."""
    found = found_out(servers[name], text)
    assert found.delivery.verdict == "delivered", found
    assert found.rendered is not None
    assert found.span is not None
    assert found.rendered.text[slice(*found.span)].strip() == text.strip()


@settings(max_examples=100)
@given(name=st.sampled_from(BAD), text=PERSONAS)
def test_bad_templates_deliver_no_text_that_they_spoil(
    servers: dict[str, TemplateServer], name: str, text: str
) -> None:
    """Only where a text comes through as it was, in a place of its own, may it pass."""
    server = servers[name]
    found = found_out(server, text)
    passes = False
    if VERDICTS[name] in ("truncated", "altered"):
        messages = [{"role": "system", "content": text}, {"role": "user", "content": "?"}]
        passes = text.strip() in server.rendered(messages)
    assert found.delivery.verdict != "unknown"
    assert not found.delivery.ok or passes, found


@settings(max_examples=40)
@given(before=TEXT, token=st.sampled_from(["<|im_end|>", "<|im_start|>", "</s>", "<|x|>"]))
def test_a_control_token_in_a_persona_is_seen(
    servers: dict[str, TemplateServer], before: str, token: str
) -> None:
    """It would end the persona where nobody meant it to end."""
    found = found_out(servers["chatml"], f"{before}{token} And more.")
    assert (found.delivery.verdict, found.delivery.ok) == ("broken out", False)
    assert token in found.delivery.note
