"""The first call to each model goes alone: a refusal costs nothing, and nothing goes unsaid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistants import Experiment, Results
from assistants.clients import all_observed
from assistants.errors import FileError, UsageError
from assistants.messages import Sampling
from assistants.runs import Budget, Progress, forecast_design
from assistants.runs.first_calls import settle_parameters
from assistants.runs.runner import Runner
from assistants.runs.store import Store
from support.experiments import QUICK, quiet
from support.openai_server import OpenAIServer


@pytest.fixture
def openai(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    """A server that refuses as OpenAI does, at the address of ``openai:``."""
    with OpenAIServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", server.key)
        yield server


def file_of(**words: Any) -> Path:
    """Write an experiment of two personas and three cases, a key a line."""
    content = {
        "personas": ["none", "art"],
        "models": ["chatgpt"],
        "cases": ["One?", "Two?", "Three?"],
        "sampling": {"temperature": 0.7, "max_tokens": 160, "seed": 7},
        **words,
    }
    path = Path("exp.yaml")
    lines: list[str] = []
    for key, value in content.items():
        if isinstance(value, dict) and value:
            lines += [f"{key}:", *(f"  {k}: {json.dumps(v)}" for k, v in value.items())]
        else:
            lines.append(f"{key}: {json.dumps(value)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


async def run(**words: Any) -> Any:
    return await Experiment.load(file_of(**words)).run(on_progress=quiet, retry=QUICK)


async def test_a_stock_experiment_works_on_chatgpt(openai: OpenAIServer) -> None:
    """With temperature, cap and seed every trial is a whole answer, and nothing is refused."""
    frame = (await run()).trials()
    assert set(frame["status"]) == {"ok"}
    assert not openai.refused
    sent = openai.calls[-1].body
    assert (sent["temperature"], sent["max_completion_tokens"]) == (0.7, 160)
    assert sent["reasoning_effort"] == "none"
    assert json.loads(frame["sampling"][0])["reasoning_effort"] == "none"
    assert (frame["applied_sampling"] == frame["sampling"]).all()


async def test_a_refusal_stops_the_run_before_anything_is_paid(openai: OpenAIServer) -> None:
    """It names the line, what stands there, and what to write instead; no run is left behind."""
    with pytest.raises(FileError) as refusal:
        await run(models=["openai:gpt-6-astra"])
    assert sum(openai.refused.values()) == 1
    assert not openai.answered
    assert "exp.yaml:5:" in str(refusal.value)
    assert "`temperature: 0.7`" in str(refusal.value)
    assert "unsupported: drop" in refusal.value.fix
    assert Results("results").runs() == []


async def test_no_model_is_asked_further_when_another_refuses(openai: OpenAIServer) -> None:
    """One call to the model that takes it, which is stored and used by the next run."""
    with pytest.raises(FileError):
        await run(models=["chatgpt", "openai:gpt-6-astra"])
    assert openai.answered == {"gpt-6-luna": 1}
    await run()
    assert openai.answered == {"gpt-6-luna": 6}


async def test_what_is_refused_can_be_dropped_for_every_trial_alike(openai: OpenAIServer) -> None:
    """Tables and manifest say so; the model that takes it still gets it."""
    done = await run(
        models=["chatgpt", "openai:gpt-5"], unsupported="drop", sampling={"temperature": 0.7}
    )
    frame = done.trials()
    assert set(frame["status"]) == {"ok"}
    by_model = {m: set(f["applied_sampling"]) for m, f in frame.groupby("model")}
    assert by_model["openai:gpt-5"] == {"{}"}
    assert by_model["openai:gpt-6-luna"] == {'{"reasoning_effort":"none","temperature":0.7}'}
    assert {s for s in frame["sampling"] if "reasoning" not in s} == {'{"temperature":0.7}'}
    assert {m["name"]: m["unsupported"] for m in done.manifest["models"]} == {
        "openai:gpt-6-luna": [],
        "openai:gpt-5": ["temperature"],
    }
    assert openai.refused == {"gpt-5": 1}
    sent = [call.body for call in openai.calls if call.model == "gpt-5" and call.status == 200]
    assert len(sent) == 6
    assert not any("temperature" in body for body in sent)


async def test_what_was_learnt_is_known_to_the_next_run(openai: OpenAIServer) -> None:
    """It asks nothing again, has the same keys, and does not meet the refusal a second time."""
    words: dict[str, Any] = {
        "models": ["openai:gpt-5"], "unsupported": "drop", "sampling": {"temperature": 0.7},
    }  # fmt: skip
    first = await run(**words)
    calls = len(openai.calls)
    second = await run(**words)
    assert len(openai.calls) == calls
    assert list(first.trials()["key"]) == list(second.trials()["key"])
    (seen,) = all_observed().values()
    assert seen.refused(None) == {"temperature"}


async def test_a_forecast_knows_what_was_learnt(openai: OpenAIServer) -> None:
    """What is dropped belongs to no key: nothing is left to ask, and nothing to warn of."""
    words: dict[str, Any] = {
        "models": ["openai:gpt-5"], "unsupported": "drop", "sampling": {"temperature": 0.7},
    }  # fmt: skip
    before = forecast_design(Experiment.load(file_of(**words)), "results")
    await run(**words)
    after = forecast_design(Experiment.load(file_of(**words)), "results")
    assert (before.to_ask, after.to_ask) == (6, 0)
    assert "thought to refuse temperature" in " ".join(before.warnings)


def two_temperatures() -> None:
    """Write a persona whose temperature every model takes, and one whose temperature is refused."""
    Path("personas").mkdir()
    for name, temperature in {"one": 1, "hot": 1.5}.items():
        text = f"---\nsampling: {{temperature: {temperature}}}\n---\nBe {name}.\n"
        Path(f"personas/{name}.md").write_text(text)


async def test_every_value_is_tried_before_the_run(openai: OpenAIServer) -> None:
    """One value is taken, another refused: the run stops after a call with each."""
    two_temperatures()
    with pytest.raises(UsageError, match=r"personas/hot\.md.*temperature"):
        await run(models=["openai:gpt-5"], personas=["one", "hot"], sampling={})
    assert [call.status for call in openai.calls] == [200, 400]


async def test_a_setting_is_dropped_for_every_persona_alike(openai: OpenAIServer) -> None:
    """Also where its value would be taken; the next run has the same keys, and asks nothing."""
    two_temperatures()
    words: dict[str, Any] = {
        "models": ["openai:gpt-5"], "personas": ["one", "hot"], "sampling": {},
        "unsupported": "drop",
    }  # fmt: skip
    progress: list[Progress] = []
    design = Experiment.load(file_of(**words))
    first = await design.run(on_progress=progress.append, retry=QUICK)
    assert set(first.trials()["applied_sampling"]) == {"{}"}
    assert (progress[-1].reused, progress[-1].answered) == (0, 6)
    calls = len(openai.calls)
    second = await run(**words)
    assert len(openai.calls) == calls
    assert list(first.trials()["key"]) == list(second.trials()["key"])


async def test_an_answer_to_other_settings_is_no_trial_of_the_run(openai: OpenAIServer) -> None:
    """The persona that was taken at first is asked again without the setting, and counted once."""
    two_temperatures()
    design = Experiment.load(
        file_of(models=["openai:gpt-5"], personas=["one", "hot"], sampling={}, unsupported="drop")
    )
    with Store("results") as store:
        runner = Runner(store, "r", price=lambda client, usage: None, budget=Budget(design.limits))
        settled = await settle_parameters(design, runner)
    await settled.assistants[0].client.aclose()
    assert openai.answered == {"gpt-5": 2}
    assert runner.first.answered == {next(settled.trials()).key}


async def test_a_setting_is_dropped_only_with_the_effort_it_was_refused_with(
    openai: OpenAIServer,
) -> None:
    """A model that reasons refuses a temperature that it takes where it does not reason."""
    words: dict[str, Any] = {"models": ["openai:gpt-6-luna"], "unsupported": "drop"}
    low = await run(**words, sampling={"temperature": 0.7, "reasoning_effort": "low"})
    assert set(low.trials()["applied_sampling"]) == {'{"reasoning_effort":"low"}'}
    none = await run(**words, sampling={"temperature": 0.7})
    assert (none.trials()["applied_sampling"] == none.trials()["sampling"]).all()


async def test_a_persona_s_own_setting_is_found_in_its_file(openai: OpenAIServer) -> None:
    """The error names the file of the persona that asks for it."""
    Path("personas").mkdir()
    Path("personas/hot.md").write_text("---\nsampling: {temperature: 1.5}\n---\nBe wild.\n")
    with pytest.raises(UsageError, match=r"personas/hot\.md.*temperature"):
        await run(models=["openai:gpt-5"], personas=["hot"], sampling={})


async def test_a_setting_from_elsewhere_is_found_there(openai: OpenAIServer) -> None:
    """The error names the option that gave it, not a line that does not."""
    experiment = Experiment.load(file_of(models=["openai:gpt-5"]))
    given = experiment.with_sampling(Sampling(temperature=1.5), {"temperature": "--temperature"})
    with pytest.raises(UsageError, match=r"^--temperature: .*`temperature: 1.5`"):
        await given.run(on_progress=quiet, retry=QUICK)


async def test_a_failed_first_call_is_the_first_try(openai: OpenAIServer) -> None:
    """A failure that is no refusal is recorded by the run itself, and not paid for twice."""
    openai.has_credit = False
    done = await run()
    assert set(done.trials()["status"]) == {"error"}
    assert len(openai.calls) == 6


async def test_an_account_without_credit_is_not_asked_for_every_trial(
    openai: OpenAIServer,
) -> None:
    """All trials have their reason, and few of them were asked for it."""
    openai.has_credit = False
    done = await run(cases=[f"Question {i}?" for i in range(100)], concurrency=4)
    assert done.statuses() == {"error": 200}
    assert done.trials()["error"].notna().all()
    assert len(openai.calls) < 50


async def test_reasoning_that_uses_the_cap_is_no_answer(openai: OpenAIServer) -> None:
    """It is a failure that says so, with its tokens; the next run asks again."""
    done = await run(
        models=["openai:gpt-5"], personas=["none"], cases=["One?"], sampling={"max_tokens": 160}
    )
    (row,) = done.trials().to_dict("records")
    assert row["status"] == "reasoning_limit"
    assert "reasoning used all 160 tokens" in row["error"]
    assert "max_tokens" in row["error"]
    calls = len(openai.calls)
    again = await run(
        models=["openai:gpt-5"], personas=["none"], cases=["One?"], sampling={"max_tokens": 2000}
    )
    assert len(openai.calls) == calls + 1
    (row,) = again.trials().to_dict("records")
    assert (row["status"], row["reasoning_tokens"] > 0) == ("ok", True)


async def test_a_change_of_the_server_within_a_run_is_told(openai: OpenAIServer) -> None:
    """Model and fingerprint are in the table; two of them are in the manifest."""
    answers = iter(range(100))

    def answer(request: dict[str, Any]) -> str:
        if next(answers) == 2:
            openai.fingerprint = "fp_2"
        return "Yes."

    openai.answer = answer
    done = await run(concurrency=1)
    assert set(done.trials()["system_fingerprint"]) == {"fp_1", "fp_2"}
    served = [(s["system_fingerprint"], s["answers"]) for s in done.manifest["served"]]
    assert sum(n for _, n in served) == 6
    assert {name for name, _ in served} == {"fp_1", "fp_2"}


async def test_a_forecast_warns(openai: OpenAIServer) -> None:
    """Of a model that ends, of a small cap for one that reasons, and of what it may refuse."""
    design = Experiment.load(file_of(models=["openai:gpt-5"]))
    said = " ".join(forecast_design(design, "results").warnings)
    assert "switched off on 2026-12-10" in said
    assert "160 may leave no room" in said
    assert "thought to refuse temperature" in said
    assert not forecast_design(Experiment.load(file_of()), "results").warnings


async def test_what_a_provider_ignores_is_recorded(here: Path) -> None:
    """As sent, not known to be applied: in the forecast and in the manifest."""
    design = Experiment.load(file_of(models=["anthropic:claude"]))
    assert any(w.startswith("seed: sent") for w in forecast_design(design, "results").warnings)


async def test_a_wrong_key_is_met_once(openai: OpenAIServer, monkeypatch: Any) -> None:
    """Every trial has its row and the reason; only the first was asked."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-1")
    frame = (await run()).trials()
    assert len(openai.requests) == 1
    assert set(frame["status"]) == {"error"}
    assert frame["error"].str.contains("401").all()
    assert frame["error"].str.startswith("Not asked, ").sum() == 5


async def test_the_first_calls_are_no_more_than_may_be_in_flight(openai: OpenAIServer) -> None:
    """``concurrency`` is over all models, and from the first call on."""
    openai.latency = 0.05
    await run(models=["chatgpt", "openai:gpt-5.1", "openai:gpt-4.1"], concurrency=1, sampling={})
    assert openai.peak == 1
