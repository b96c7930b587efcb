"""One good case, or one good rendering, does not stand for those that are not."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assistants.assistant import Assistant
from assistants.clients import OpenAIClient
from assistants.messages import Message
from assistants.models import Model, Provider
from assistants.personas import Persona
from assistants.results import Run
from assistants.runs.audit import audit_blocker, run_audit
from assistants.trial import Case
from assistants.widgets.html import prompt_audit
from support.commands import call
from support.experiments import QUICK, client_at, experiment_at, quiet
from support.template_server import TemplateServer, audited, template

CHATML = template("chatml")
WINDOW = CHATML.replace("in messages", "in messages[-6:]")
SHORT = CHATML.replace("in messages", "in messages if message.content | length < 60")
LATE = CHATML.replace("in messages", "in messages[(0 if messages | length < 5 else 1):]")


class Forming(TemplateServer):
    """A server that brings every prompt into a normal form."""

    form: Any

    def rendered(self, messages: Any) -> str:
        return unicodedata.normalize(self.form, super().rendered(messages))


def talk(turns: int) -> list[Message]:
    pairs = [[Message("user", f"Q{i}?"), Message("assistant", "So.")] for i in range(turns)]
    return [each for pair in pairs for each in pair][:-1]


def persona_for(server: TemplateServer, cases: Sequence[Case], **more: Any) -> Any:
    made = experiment_at(server.url, cases, client=client_at(server.url, "vllm:m"), **more)
    persona = Persona("for", "Explain to {{ who }}.")
    return replace(made, assistants=(replace(made.assistants[0], persona=persona),))


async def run_of(experiment: Any) -> Run:
    made: Run = await experiment.run(on_progress=quiet, retry=QUICK)
    return made


async def test_a_window_that_leaves_the_persona_out_is_seen() -> None:
    """A template may keep the last messages only: no marker there, and no persona."""
    with TemplateServer(WINDOW) as server:
        assert (await audited(server, "Be kind.", talk(3))).delivery.verdict == "delivered"
        found = (await audited(server, "Be kind.", talk(4))).delivery
    assert (found.verdict, found.ok) == ("dropped", False)


async def test_a_text_that_is_left_out_for_its_length_is_seen() -> None:
    """The marker is short, and a persona seldom."""
    with TemplateServer(SHORT) as server:
        assert (await audited(server, "Be kind.", talk(1))).delivery.verdict == "delivered"
        assert (await audited(server, "Be kind. " * 20, talk(1))).delivery.verdict == "dropped"


async def test_a_user_turn_of_its_own_is_no_system_slot() -> None:
    """A control token behind the persona is not enough: Llama 2's has one before it too."""
    source = CHATML.replace("message['role'] +", "message['role'] | replace('system', 'user') +")
    with TemplateServer(source) as server:
        assert (await audited(server, "Be kind.", talk(1))).delivery.verdict == "merged"


async def test_every_case_that_differs_counts(here: Path) -> None:
    """By what fills in the persona, and by the number of turns; the worst is what is said."""
    cases = [
        Case("a", ("Why?",), variables={"who": "a child"}),
        Case("b", ("How?",), variables={"who": "a very patient professor " * 4}),
    ]
    with TemplateServer(SHORT) as server:
        rows = (await run_of(persona_for(server, cases))).prompt_audit()
    assert (rows["verdict"][0], "In case b: " in rows["note"][0]) == ("dropped", True)
    long = [Case("a", ("Why?",)), Case("b", ("Why?", "How?", "When?"))]
    with TemplateServer(LATE) as server:
        made = experiment_at(server.url, long, client=client_at(server.url, "vllm:n"))
        rows = (await run_of(replace(made, name="long"))).prompt_audit()
    assert list(rows["verdict"]) == ["empty", "dropped"]
    assert "In case b: " in rows["note"][1]


async def test_cases_that_send_the_same_prompt_are_audited_once(here: Path) -> None:
    """The number of cases costs nothing, and the number of prompts has an end, which is said."""
    with TemplateServer(CHATML) as server:
        made = experiment_at(server.url, 50, client=client_at(server.url, "vllm:m"))
        await run_of(made)
        assert server.paths.count("/tokenize") <= 8
    cases = [Case(f"c{i}", ("Why?",), variables={"who": f"child {i}"}) for i in range(30)]
    with TemplateServer(CHATML) as server:
        rows = (await run_of(persona_for(server, cases))).prompt_audit()
        assert server.paths.count("/tokenize") <= 5 + 3 * run_audit.PROMPTS
    assert rows["verdict"][0] == "delivered"
    assert f"first {run_audit.PROMPTS} of its prompts" in rows["note"][0]


async def test_a_template_that_was_repaired_repairs_no_answers(here: Path) -> None:
    """Answers that were made without the persona stay so when new ones come with it."""
    with TemplateServer(template("drop")) as server:
        cases = [Case("a", ("Why?",)), Case("b", ("How?",))]
        made = experiment_at(server.url, cases[:1], client=client_at(server.url, "vllm:m"))
        assert list((await run_of(made)).prompt_audit()["verdict"]) == ["empty", "dropped"]
        with TemplateServer(CHATML) as repaired:
            server.template = repaired.template
        mixed = await run_of(replace(made, cases=tuple(cases)))
        again = await run_of(replace(made, cases=tuple(cases)))
        fresh = await run_of(replace(made, cases=(Case("c", ("Where?",)),)))
    rows = mixed.prompt_audit()
    assert list(rows["verdict"]) == list(again.prompt_audit()["verdict"]) == ["empty", "dropped"]
    assert "Of answers made earlier: " in rows["note"][1]
    assert list(fresh.prompt_audit()["verdict"]) == ["empty", "delivered"]


async def test_words_that_stand_there_without_a_persona_too_are_no_headline(here: Path) -> None:
    """The date lines of Llama 3.1 stand before every persona and before none: no difference."""
    said = {}
    for name in ("llama31", "prepend"):
        with TemplateServer(template(name)) as server:
            made = experiment_at(
                server.url, 1, client=client_at(server.url, f"vllm:{name}"), personas=("terse",)
            )
            run = await run_of(replace(made, name=name))
        row = run.prompt_audit().iloc[0]
        assert (row["verdict"], bool(row["ok"])) == ("prepended", False)
        warned = "not what they seem" in prompt_audit(run).body
        said[name] = ("as it does without a persona" in row["note"], warned)
    assert said == {"llama31": (True, False), "prepend": (False, True)}


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
async def test_only_a_form_of_the_same_characters_is_word_for_word(form: str) -> None:
    """In a compatibility form two to the fifth is twenty-five."""
    text = "Say that 2⁵ is a power, é and e\u0301."
    with Forming(CHATML) as server:
        server.form = form
        found = (await audited(server, text, talk(1))).delivery
    assert found.verdict == ("altered" if "K" in form else "delivered"), found


async def test_a_prompt_that_fills_the_context_leaves_no_room() -> None:
    """An answer needs a token at the least."""
    with TemplateServer(CHATML) as server:
        whole = (await audited(server, "Be kind.", talk(1))).rendered
    assert whole is not None
    for room, verdict in ((0, "too long"), (1, "delivered")):
        with TemplateServer(CHATML, longest=whole.tokens + room) as server:
            found = (await audited(server, "Be kind.", talk(1))).delivery
        assert found.verdict == verdict


async def test_only_an_engine_that_has_to_start_may_take_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Minutes pass before an embedded engine says anything; a server has a limit."""
    monkeypatch.setattr(run_audit, "LONGEST_S", 0.05)

    class Slow(OpenAIClient):
        async def post(self, path: str, body: Any) -> Any:
            await asyncio.sleep(0.05)
            return await super().post(path, body)

    said = {}
    with TemplateServer(CHATML) as server:
        for name in ("vllm:m", "vllm-offline:m"):
            slow = Slow(name, endpoint=client_at(server.url)._endpoint)
            assistant = Assistant(Persona("p", "Be kind."), slow)
            found = await run_audit.audit([assistant], [Case("a", ("Why?",))], [Model(name)])
            said[name] = found[0].verdict
            await slow.aclose()
    assert said == {"vllm:m": "unknown", "vllm-offline:m": "delivered"}


@pytest.mark.parametrize(
    ("key", "optional", "own"),
    [(None, False, True), ("MY_API_KEY", True, True), ("MY_API_KEY", False, False)],
)
def test_ones_own_server_is_one_that_wants_no_key(
    key: str | None, optional: bool, own: bool
) -> None:
    """Whatever it costs; and what is no server is nobody's."""
    server = Provider(address="http://127.0.0.1:1/v1", key=key, key_optional=optional)
    model = Model("mine:m", server)
    assert model.is_self_hosted is own
    assert not Model("mine:m").is_self_hosted
    assistant = Assistant(Persona("p", "Be kind."), client_at("http://127.0.0.1:1/v1", "mine:m"))
    assert (audit_blocker(assistant, model) is None) is own


def test_json_of_a_literal_escape_is_the_text(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r"""A persona that speaks of ``\ud800`` comes out of the JSON as it went in."""
    text = r"Explain what \ud800 means: é."
    (here / "odd.md").write_text(f"---\nlabel: Odd\n---\n{text}\n", encoding="utf-8")
    with TemplateServer(CHATML) as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.url)
        shown = call("audit", "-p", "odd", "-m", "vllm:m", "--personas", str(here), "--json")
    listed = json.loads(shown.out)
    assert listed["rendered"][slice(*listed["span"])].strip() == text
