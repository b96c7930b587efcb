"""Each family of models does the right thing through the package: answers, refusals, the record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from assistants.clients import connect
from assistants.errors import BadRequestError, UsageError
from assistants.experiment import Experiment
from assistants.messages import Message, Sampling
from assistants.models import PACKAGED, Catalogue, user_file
from assistants.results import Run
from support.openai_server import OpenAIServer

STOCK: Mapping[str, Any] = {"temperature": 0.7, "max_tokens": 160, "seed": 7}
"""Sampling of the founding experiment."""

ROOMY: Mapping[str, Any] = {**STOCK, "max_tokens": 4000}

ALWAYS = ["openai:o3", "openai:gpt-5", "openai:gpt-5-mini", "openai:gpt-6-astra"]
BY_DEFAULT = ["openai:gpt-5.5", "openai:gpt-6-sol"]


@dataclass(frozen=True)
class Taken:
    """A model that answers, and what it gets of the sampling; ``None`` for what it does not get."""

    model: str
    gets: Mapping[str, Any]
    sampling: Mapping[str, Any] = field(default_factory=lambda: STOCK)
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.model


@pytest.fixture
def server(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    """All providers of the package at one loopback address, as a person's own file may say."""
    with OpenAIServer(lambda request: "Blue.", verified=False) as running:
        at_home = re.sub(r'address = "https://[^"]*"', f'address = "{running.url}"', _packaged())
        user_file().parent.mkdir(parents=True)
        user_file().write_text(at_home, encoding="utf-8")
        monkeypatch.setenv("AZURE_OPENAI_BASE_URL", running.url)
        for name in re.findall(r'key = "([A-Z_]+)"', at_home):
            monkeypatch.setenv(name, running.key)
        yield running


def write(model: str, sampling: Mapping[str, Any], **more: Any) -> Experiment:
    content = {
        "personas": ["none", {"name": "brief", "system_prompt": "Be brief."}],
        "models": [model],
        "cases": ["Why is the sky blue?", "What is a tree?"],
        "sampling": dict(sampling),
        **more,
    }
    lines = (f"{json.dumps(key)}: {json.dumps(value)}\n" for key, value in content.items())
    Path("exp.yaml").write_text("".join(lines), encoding="utf-8")
    return Experiment.load("exp.yaml")


async def ask(model: str, sampling: Mapping[str, Any], **more: Any) -> Run:
    return await write(model, sampling, **more).run(on_progress=lambda progress: None)


CHAT = {"temperature": 0.7, "max_completion_tokens": 160, "seed": 7, "max_tokens": None}
OTHER = {"temperature": 0.7, "max_tokens": 160, "seed": 7, "max_completion_tokens": None}
TAKEN = [
    Taken("chatgpt", {**CHAT, "reasoning_effort": "none"}),
    Taken("openai:gpt-6-luna", {**CHAT, "reasoning_effort": "none"}),
    Taken("openai:gpt-5.1", {**CHAT, "reasoning_effort": None}),
    Taken("openai:gpt-4.1", CHAT),
    Taken("azure:gpt-4.1", CHAT),
    Taken(
        "openai:gpt-6-sol",
        {**CHAT, "reasoning_effort": "none"},
        {**STOCK, "reasoning_effort": "none"},
    ),
    Taken("deepseek:deepseek-chat", {**OTHER, "seed": None}, ignored=("seed",)),
    Taken("anthropic:claude-sonnet-5", {**OTHER, "seed": None}, ignored=("seed",)),
    Taken(
        "anthropic:claude-sonnet-5",
        {"temperature": 1.0},
        {**STOCK, "temperature": 1.5},
        ignored=("seed",),
    ),
    Taken("gemini:gemini-3-flash", OTHER),
    Taken(
        "openrouter:openai/gpt-5-mini",
        {"max_tokens": 4000, "temperature": None},
        ROOMY,
        ignored=("temperature", "seed"),
    ),
]


@pytest.mark.parametrize("case", TAKEN, ids=str)
async def test_a_stock_experiment_is_answered(server: OpenAIServer, case: Taken) -> None:
    """The model gets what the file says, and what it is known to ignore is on record."""
    run = await ask(case.model, case.sampling)
    assert run.statuses() == {"ok": 4}
    assert [call.status for call in server.calls] == [200] * 4
    for call in server.calls:
        assert call.applied is not None
        for name, value in case.gets.items():
            got = call.applied.get(name)
            assert got == value, (name, got)
    (entry,) = run.manifest["models"]
    assert set(case.ignored) <= set(entry["sent_not_known_to_be_applied"])


@pytest.mark.parametrize("model", [*ALWAYS, *BY_DEFAULT])
async def test_a_refusal_stops_before_anything_is_paid(server: OpenAIServer, model: str) -> None:
    """One call, then an error that names line and parameter, and nothing else is asked."""
    with pytest.raises(UsageError, match=r"exp\.yaml:4: .*temperature"):
        await ask(model, STOCK)
    assert [call.status for call in server.calls] == [400]


@pytest.mark.parametrize("model", [*ALWAYS, *BY_DEFAULT])
async def test_what_is_refused_is_dropped_for_all_alike(server: OpenAIServer, model: str) -> None:
    """With ``unsupported: drop`` every trial goes without it, and columns and manifest say so."""
    run = await ask(model, ROOMY, unsupported="drop")
    assert run.statuses() == {"ok": 4}
    paid = [call for call in server.calls if call.status == 200]
    assert len(paid) == 4
    assert not any("temperature" in call.body for call in paid)
    assert all(call.body["seed"] == 7 for call in paid)
    trials = run.trials()
    assert trials["reasoning_tokens"].gt(0).all()
    for settings in trials["applied_sampling"]:
        assert "temperature" not in str(settings)
    (entry,) = run.manifest["models"]
    assert entry["unsupported"] == ["temperature"]


@pytest.mark.parametrize("model", ["openai:o3", "openai:gpt-5", "openai:gpt-5.1", "openai:gpt-5.5"])
async def test_stop_words_are_refused_by_gpt_5(server: OpenAIServer, model: str) -> None:
    """``stop`` is refused with or without reasoning."""
    with pytest.raises(UsageError, match=r"exp\.yaml:4: .*stop"):
        await ask(model, {"stop": ["\n"]})
    assert not server.answered


@pytest.mark.parametrize("model", [*ALWAYS, *BY_DEFAULT, "openrouter:openai/gpt-5-mini"])
async def test_reasoning_may_use_up_the_cap(server: OpenAIServer, model: str) -> None:
    """No answer is no answer: a status of its own, priced, and asked again by the next run."""
    run = await ask(model, {"max_tokens": 160})
    assert run.statuses() == {"reasoning_limit": 4}
    assert server.count(status=200) == 4
    again = await ask(model, {"max_tokens": 4000})
    assert again.statuses() == {"ok": 4}


async def test_another_name_of_the_cap_is_found(server: OpenAIServer) -> None:
    """A host that takes the cap under the other name gets it so, after one refusal."""
    moved = user_file().read_text(encoding="utf-8").replace("[providers.azure]", "[providers.deep]")
    user_file().write_text(moved.replace('address = ""', f'address = "{server.url}"'))
    run = await ask("deep:deepseek-chat", STOCK)
    assert run.statuses() == {"ok": 4}
    assert [call.status for call in server.calls] == [400, 200, 200, 200, 200]
    assert server.calls[-1].body["max_tokens"] == 160


async def test_a_model_without_system_messages(server: OpenAIServer) -> None:
    """A refused role stops the run, and says what to write; with that the persona still arrives."""
    with pytest.raises(UsageError, match=r"system_role"):
        await ask("openai:o1-mini", {"max_tokens": 4000}, personas=["art"])
    assert not server.answered
    client = connect(Catalogue.default().find("openai:o1-mini"))
    with pytest.raises(BadRequestError) as refusal:
        await client.complete([Message("system", "Be brief."), Message("user", "Hi.")], Sampling())
    await client.aclose()
    assert "system_role" in refusal.value.fix
    Path("models.toml").write_text('[models."openai:o1-mini"]\nsystem_role = "user"\n')
    run = await ask("openai:o1-mini", {"max_tokens": 4000}, personas=["art"])
    assert run.statuses() == {"ok": 2}
    assert {message["role"] for message in server.calls[-1].body["messages"]} == {"user"}


@pytest.mark.parametrize(
    ("model", "sampling"),
    [
        ("gemini:gemini-3-flash", {"frequency_penalty": 0.5}),
        ("openai:gpt-6-luna", {"top_k": 5}),
    ],
)
async def test_a_refusal_without_a_code(
    server: OpenAIServer, model: str, sampling: Mapping[str, Any]
) -> None:
    """Where a host gives neither code nor parameter, its words are shown, and nothing is paid."""
    run = await ask(model, sampling)
    assert run.statuses() == {"error": 4}
    assert not server.answered
    assert run.trials()["error"].str.contains(next(iter(sampling))).all()


def _packaged() -> str:
    return PACKAGED.read_text(encoding="utf-8")
