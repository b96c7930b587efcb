"""Which sentence matters: by log-probability where a server tells, else by asking again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistants import (
    Assistant,
    Case,
    Experiment,
    Message,
    OpenAIClient,
    Persona,
    Results,
    Run,
    Sampling,
    ScriptedClient,
    connect,
)
from assistants.analysis import (
    ATTRIBUTION_TOTALS,
    ATTRIBUTION_TRIALS,
    RAISES_LIKELIHOOD,
)
from assistants.errors import CallError, UnknownNameError, UsageError
from support.faulty_server import FaultyServer, at
from support.logprob_server import NEEDED, Thinking, telling

PERSONA = f"Be polite.\n- {NEEDED}\n- Stop <b>there</b>."
CASES = [f"Question {n}?" for n in range(6)]


async def asked(models: list[Any], text: str | None = PERSONA, **content: Any) -> Run:
    persona = {"name": "fruity", "system_prompt": text}
    settings = {"cases": CASES, "repeats": 2, **content}
    experiment = Experiment.define("fruit", personas=["none", persona], models=models, **settings)
    return await experiment.run(on_progress=lambda progress: None)


@pytest.fixture
def vllm(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """Start a server with log-probabilities, where ``vllm:m`` is looked for."""
    with telling() as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.url)
        yield server


async def test_the_sentence_that_the_answers_need(vllm: FaultyServer) -> None:
    """Has the effect that it has, on each answer and in all; the others have none."""
    run = await asked(["vllm:m"])
    found = await run.sentence_attribution("fruity")
    assert (found.method, found.unit) == ("log-probability", "nats")
    assert tuple(found.trials.columns) == ATTRIBUTION_TRIALS
    assert tuple(found.totals.columns) == ATTRIBUTION_TOTALS
    assert list(found.totals["sentence"]) == [1, 2, 3]
    assert list(found.totals["text"]) == ["Be polite.", NEEDED, "Stop <b>there</b>."]
    tokens = len("banana") + 1  # and the one that ended it
    assert np.allclose(found.totals["effect"], [0, 2 * tokens, 0])
    assert np.allclose(found.totals["per_token"], [0, 2, 0])
    assert np.allclose(found.totals["share"], [0, 1, 0])
    assert list(found.totals["n_trials"]) == [12] * 3
    top = found.trials[found.trials["sentence"] == 2]
    assert np.allclose(top["logprob"], -0.5 * tokens)
    assert np.allclose(top["logprob_without"], -2.5 * tokens)
    assert np.allclose(top["logprob_empty"], -2.5 * tokens)
    assert not found.totals["note"].str.contains("noise floor").any()


async def test_answers_after_reasoning_are_measured_behind_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As likely as after a thought that is closed, not as a part of one; and that is said."""
    with Thinking() as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.url)
        found = await (await asked(["vllm:m"])).sentence_attribution("fruity")
    assert np.allclose(found.totals["effect"], [0, 2 * (len("banana") + 1), 0])
    assert "12 answers followed reasoning" in found.note


async def test_an_interval_is_over_cases(vllm: FaultyServer) -> None:
    """Answers of different length differ in what a sentence is worth, and the interval says so."""
    vllm.answer = lambda request: "banana" * (1 + len(request["messages"][-1]["content"]) % 3)
    run = await asked(["vllm:m"], cases=[f"Say{'.' * n}" for n in range(9)], repeats=1)
    top = (await run.sentence_attribution("fruity")).totals.loc[1]
    assert top["low"] < top["effect"] < top["high"]
    assert top["p_adjusted"] < 0.05
    assert top["verdict"] == RAISES_LIKELIHOOD


async def test_nothing_is_generated_and_nothing_asked_twice(vllm: FaultyServer) -> None:
    """Equal answers to one question are looked at once, and no conversation is sent."""
    run = await asked(["vllm:m"], cases=["Fruit?"], repeats=3)
    before = len(vllm.requests)
    await run.sentence_attribution("fruity")
    sent = [request.path for request in vllm.requests[before:]]
    assert "/v1/chat/completions" not in sent
    assert sent.count("/v1/completions") == 5  # the whole persona, none of it, less one each


async def test_one_case(vllm: FaultyServer) -> None:
    """Its numbers are there, without an interval, and the verdict does not pretend."""
    run = await asked(["vllm:m"])
    case = run.trials()["case"][0]
    found = await run.sentence_attribution("fruity", case)
    assert set(found.trials["case"]) == {case}
    assert found.totals.loc[1, "effect"] == pytest.approx(14)
    assert np.isnan(found.totals.loc[1, "low"])
    assert found.totals.loc[1, "verdict"].startswith("too little data")


async def test_several_turns_are_added_up(vllm: FaultyServer) -> None:
    """Each answer after those that were given before it."""
    run = await asked(["vllm:m"], cases=[{"id": "two", "turns": ["One?", "Two?"]}], repeats=1)
    found = await run.sentence_attribution("fruity")
    assert found.trials.loc[1, "tokens"] == 14
    assert found.trials.loc[1, "effect"] == pytest.approx(28)
    rendered = [r.json.get("messages") for r in vllm.requests if r.body]
    said = [[turn["content"] for turn in each[1:]] for each in rendered if each and len(each) == 4]
    assert said == [["One?", "banana", "Two?"]] * len(said)
    assert len(said) > 5


async def test_an_answer_cut_at_the_limit_has_no_end(vllm: FaultyServer) -> None:
    """Nor has one that a stop text ended: only its own tokens count."""
    run = await asked(["vllm:m"], cases=["Fruit?"], repeats=1, sampling={"stop": ["x"]})
    found = await run.sentence_attribution("fruity")
    assert found.trials.loc[1, "tokens"] == 6


async def test_a_persona_of_one_sentence(vllm: FaultyServer) -> None:
    """Is compared with an empty system message."""
    run = await asked(["vllm:m"], NEEDED, cases=["Fruit?"])
    found = await run.sentence_attribution("fruity")
    assert list(found.trials["logprob_without"]) == list(found.trials["logprob_empty"])
    assert found.trials.loc[0, "share"] == pytest.approx(1)


async def test_the_figure(vllm: FaultyServer) -> None:
    """Shows every sentence, as text and never as markup; the same each time."""
    run = await asked(["vllm:m"])
    found = await run.sentence_attribution("fruity")
    figure = found.figure()
    svg = figure.svg()
    assert "Stop &lt;b&gt;there" in svg
    assert "<b>" not in svg + figure.table_html()
    assert "no interval" in svg  # all cases differ by the same
    assert NEEDED in figure.alt
    assert found.figure().svg() == svg
    assert repr(found) == "Attribution('fruity': 3 sentences, 6 cases, by log-probability)"


async def test_unknown_names(vllm: FaultyServer) -> None:
    """Name the nearest known."""
    run = await asked(["vllm:m"])
    with pytest.raises(UnknownNameError, match="Did you mean 'fruity'"):
        await run.sentence_attribution("fruit")
    with pytest.raises(UnknownNameError, match="case"):
        await run.sentence_attribution("fruity", "no such case")
    with pytest.raises(UnknownNameError, match="model"):
        await run.sentence_attribution("fruity", model="vllm:other")


async def test_nothing_to_attribute(vllm: FaultyServer) -> None:
    """No system message, no answer: said so, and nothing is sent."""
    vllm.answer = lambda request: ""
    run = await asked(["vllm:m"])
    before = len(vllm.requests)
    with pytest.raises(UsageError, match="no answer"):
        await run.sentence_attribution("fruity")
    vllm.answer = lambda request: "banana"
    run = await asked(["vllm:m"], cases=["Another?"])
    before = len(vllm.requests)
    with pytest.raises(UsageError, match="sends no system message"):
        await run.sentence_attribution("none")
    assert len(vllm.requests) == before


async def test_a_server_that_is_down(vllm: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is a failed call, and no reason to ask again at a price."""
    run = await asked(["vllm:m"])
    monkeypatch.setenv("VLLM_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(CallError, match="no server answered"):
        await run.sentence_attribution("fruity", regenerate=True)


def drawn(messages: Sequence[Message], sampling: Sampling) -> str:
    """Fruit if the persona wants it; other words at each draw."""
    fruit = "banana mango cherry" if NEEDED in messages[0].content else "stone iron salt"
    return f"{fruit} word{sampling.repeat} {messages[-1].content}"


async def test_a_model_that_does_not_tell_wants_a_yes(here: Path) -> None:
    """The error says how many calls, and what they would cost; nothing has been asked."""
    run = await asked([ScriptedClient(drawn)])
    with pytest.raises(UsageError, match=r"up to 48 calls.*12 answered already.*36 to ask"):
        await run.sentence_attribution("fruity", client=ScriptedClient(drawn))
    assert [each.experiment for each in Results().runs()] == ["fruit"]


async def test_one_client_does_not_measure_two_models(here: Path, vllm: FaultyServer) -> None:
    """Rows that say one model and mean another would be worse than none."""
    run = await asked(["vllm:m", "vllm:n"])
    with pytest.raises(UsageError, match=r"vllm:m and vllm:n.*`model=`"):
        await run.sentence_attribution("fruity", client=connect("vllm:m"))
    found = await run.sentence_attribution("fruity", client=connect("vllm:m"), model="vllm:m")
    assert set(found.totals["model"]) == {"vllm:m"}


async def test_asking_again(here: Path) -> None:
    """The sentence that matters moves the wording beyond the noise; answers are kept and reused."""
    run = await asked([ScriptedClient(drawn)])
    found = await run.sentence_attribution(
        "fruity", client=ScriptedClient(drawn), regenerate=True, on_progress=lambda progress: None
    )
    assert (found.method, found.unit) == ("regeneration", "cosine distance")
    assert found.totals.loc[1, "effect"] > 0.2
    assert found.totals.loc[1, "p_adjusted"] < 0.05
    assert (found.totals.loc[[0, 2], "effect"] <= 0).all()  # no more than repeats differ
    assert "By regeneration" in found.figure().svg()
    reached: list[int] = []
    again = await run.sentence_attribution(
        "fruity",
        client=ScriptedClient(drawn),
        max_usd=1.0,
        on_progress=lambda progress: reached.append(progress.answered),
    )
    assert reached[-1] == 0
    assert again.totals.equals(found.totals)
    made = Results().runs("fruit.attribution")[-1]
    assert set(made.trials()["persona"]) == {"fruity", *(f"fruity-without-{n}" for n in (1, 2, 3))}


async def test_braces_are_sent_as_they_stand(here: Path) -> None:
    """A persona whose rendered text looks like a template is not filled in a second time."""
    seen: set[str] = set()

    def noted(messages: Sequence[Message], sampling: Sampling) -> str:
        seen.add(messages[0].content)
        return f"word {sampling.repeat}"

    text = "Say {{ what }}. Be brief."
    case = {"id": "one", "question": "A?", "vars": {"what": "{{ this }}"}}
    run = await asked([ScriptedClient(noted)], text, cases=[case])
    seen.clear()
    await run.sentence_attribution(
        "fruity", client=ScriptedClient(noted), regenerate=True, on_progress=lambda progress: None
    )
    assert seen == {"Be brief.", "Say {{ this }}."}  # the whole was answered already


async def test_a_hosted_model_is_sent_no_answer(
    here: Path, vllm: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing goes beside its base URL, whatever is there: the question is what asking costs."""
    monkeypatch.setenv("OPENAI_BASE_URL", vllm.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    run = await asked(["vllm:m", "openai:m"], limits={"usd": None})
    before = len(vllm.requests)
    with pytest.raises(UsageError, match=r"openai:m is hosted.*up to 96 calls"):
        await run.sentence_attribution("fruity")
    assert vllm.requests[before:] == []
    assert (await run.sentence_attribution("fruity", model="vllm:m")).method == "log-probability"


async def test_a_client_that_was_handed_in_is_asked(here: Path, server: FaultyServer) -> None:
    """Whoever names one means it; without log-probabilities, nothing is generated."""
    client = OpenAIClient("openai:m", endpoint=at(server.url))
    run = await asked([client])
    before = len(server.requests)
    with pytest.raises(UsageError, match="does not return"):
        await run.sentence_attribution("fruity", client=client)
    assert [r.path for r in server.requests[before:]] == ["/tokenize"]


async def test_a_persona_in_the_question_is_left_out_there(vllm: FaultyServer) -> None:
    """For a model whose template has no system role: where the persona stood, the rest stands."""
    persona = Persona("fruity", PERSONA)
    client = connect("vllm:m")
    experiment = Experiment(
        "fruit", (Assistant(persona, client, persona_in="user"),), (Case("one", ("Fruit?",)),)
    )
    run = await experiment.run(on_progress=lambda progress: None)
    before = len(vllm.requests)
    await run.sentence_attribution("fruity")
    rendered = [r.json["messages"] for r in vllm.requests[before:] if "messages" in r.json]
    assert {turns[0]["role"] for turns in rendered} == {"user"}
    without = f"Be polite.\n- {NEEDED}\n\nFruit?"
    assert any(turns[0]["content"] == without for turns in rendered)
