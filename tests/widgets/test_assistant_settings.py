"""Who is given as an ``Assistant`` keeps its sampling and its variables; two have two names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assistants.assistant import Assistant
from assistants.clients import ScriptedClient, connect, echo
from assistants.errors import UsageError
from assistants.experiment import Experiment
from assistants.messages import Sampling
from assistants.personas import Persona
from assistants.widgets.chat.chat import Chat
from assistants.widgets.chat.compare import Compare

KIND = Persona("kind", "Be kind.")
EXPLAIN = Persona("explain", "Explain to {{ audience }}.")
COLD = Sampling(temperature=0, max_tokens=50)
SETTINGS = "(temperature=0.0, max_tokens=50)"


def explain(audience: str, **more: Any) -> Assistant:
    return Assistant(EXPLAIN, connect("echo"), variables={"audience": audience}, **more)


async def test_sampling_goes_along_to_another_model_and_another_persona(here: Path) -> None:
    """Nothing but what was switched is another one: so what differs comes from that."""
    chat = Chat(Assistant(KIND, connect("echo"), COLD), results=None)
    await chat.ask("One?")
    chat.switch(model=ScriptedClient(echo, "other"))
    await chat.ask("Two?")
    chat.persona = "art"
    await chat.ask("Three?")
    assert [row["answer"].endswith(SETTINGS) for row in chat.replies] == [True] * 3
    compare = await chat.fork(["kind", "none"])
    assert [row["answer"].endswith(SETTINGS) for row in compare.replies] == [True] * 9


async def test_sampling_that_is_given_goes_over_that_of_others(here: Path) -> None:
    """The assistant is as it was given, until somebody else answers."""
    warm = Sampling(temperature=1)
    chat = Chat(Assistant(KIND, connect("echo"), COLD), results=None, sampling=warm)
    await chat.ask("One?")
    chat.switch(model=ScriptedClient(echo, "other"))
    await chat.ask("Two?")
    chat.persona = "none"
    await chat.ask("Three?")
    assert [row["answer"].splitlines()[-1] for row in chat.replies] == [
        SETTINGS, SETTINGS, "(temperature=1.0)",
    ]  # fmt: skip


async def test_a_persona_keeps_its_variables(here: Path) -> None:
    """On another model, when it is chosen again, and when everybody is asked."""
    chat = Chat(explain("children"), results=None)
    chat.switch(model=ScriptedClient(echo, "other"))
    await chat.ask("One?")
    chat.persona = "none"
    await chat.ask("Two?")
    compare = await chat.fork(["explain"])
    chat.persona = "explain"
    await chat.ask("Three?")
    name = "explain[audience=children]"
    assert [row["persona"] for row in chat.replies] == [name, "none", name]
    for row in (chat.replies[0], compare.replies[-1], chat.replies[2]):
        assert row["answer"].startswith("system: Explain to children.")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Assistant(KIND, connect("echo"), COLD), "other settings"),
        (Assistant(KIND, connect("echo"), persona_in="user"), "other settings"),
        (Assistant(Persona("kind", "Be very kind."), connect("echo")), "another system prompt"),
    ],
)
def test_two_that_answer_have_two_names(here: Path, other: Assistant, said: str) -> None:
    """Their answers could not be told apart later: it is refused, with what to do."""
    with pytest.raises(UsageError, match=f"kind on scripted:echo is there twice.*{said}.*kind-2"):
        Compare(assistants=[Assistant(KIND, connect("echo")), other])


async def test_a_fork_that_is_refused_leaves_the_one_that_there_is(here: Path) -> None:
    """What everybody said before stays in sight, and in the copy."""
    chat = Chat(Persona("art", "Be an artist."), "echo", results=None)
    await chat.ask("One?")
    compare = await chat.fork([KIND])
    with pytest.raises(UsageError, match="art on scripted:echo is there twice"):
        await chat.fork(["art"])  # the library's
    assert chat.forked == compare.model_id
    assert "Everybody else" in chat.static_html()


async def test_the_same_one_twice_is_two_draws(here: Path) -> None:
    """Which a batch would call repeats: there it is one assistant."""
    compare = Compare([KIND, KIND], ["echo"])
    await compare.ask("One?")
    loaded = Experiment.load(compare.to_experiment("twice.yaml", repeats=2))
    assert [str(each) for each in loaded.assistants] == ["kind on scripted:echo"]


async def test_an_experiment_has_every_value_of_a_variable(here: Path) -> None:
    """A persona a value, with the text that was sent."""
    paint = Persona("art", "Paint {{ what }}.")  # a name that the library has
    paints = [Assistant(paint, connect("echo"), variables={"what": what}) for what in ("a", "b")]
    explains = [explain("children"), explain("experts", sampling=COLD)]
    compare = Compare(["art"], ["echo"], assistants=[*explains, *paints])
    await compare.ask("Tea?")
    loaded = Experiment.load(compare.to_experiment("tea.yaml"))
    assert [each.name for each in loaded.assistants] == [
        "art", "explain", "explain-2", "art-2", "art-3",
    ]  # fmt: skip
    assert [each.system_prompt for each in loaded.assistants] == [
        row["answer"].partition("\n\nuser:")[0].removeprefix("system: ") for row in compare.replies
    ]
    assert loaded.assistants[1].persona.label == "explain[audience=children]"
    assert loaded.forecast("results").answered == 5


async def test_a_persona_as_it_was_can_be_asked_beside_what_it_is(here: Path) -> None:
    """Whoever changed a prompt wants to compare the two: they have two names."""
    Path("personas").mkdir()
    file = Path("personas/tea.md")
    file.write_text("---\nlabel: Tea\n---\nTalk of tea.\n")
    once = Experiment.define("tea", personas=["tea"], models=["echo"], cases=["Milk?"])
    run = await once.run(on_progress=lambda progress: None)
    file.write_text("---\nlabel: Tea\n---\nTalk of green tea.\n")
    chat = Chat.from_trial(run, run.trials()["key"][0])
    assert chat.replies[0]["persona"] == "tea-as-it-was"
    compare = await chat.fork(["tea"])
    said = {row["persona"]: row["answer"] for row in compare.replies}
    assert said["tea-as-it-was"].startswith("system: Talk of tea.")
    assert said["tea"].startswith("system: Talk of green tea.")
