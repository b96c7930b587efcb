"""Control personas: made once, written where anybody can read and edit them, and never stale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants import Experiment, Message, Results, Sampling, ScriptedClient
from assistants.design.controls import ControlText, read_controls_file
from assistants.design.limits import Limits
from assistants.errors import BudgetExceededError, FileError, UsageError
from assistants.runs.budget import Budget
from assistants.runs.control_texts import write_controls
from assistants.utils.config_files import parse_yaml
from assistants.utils.text import to_utf8

EXPERIMENT = """\
personas: [none, art, {{name: kind, system_prompt: Be kind to whoever asks you.}}]
models: [scripted:words.yaml]
cases: [Tea?, Milk?]
repeats: 2
controls: {controls}
"""


def write(controls: str, **answers: str) -> Path:
    """Write an experiment whose model answers texts as ``answers`` says, and all else with ok."""
    Path("words.yaml").write_text('"*": ok\n"Be kind to whoever asks you.": Treat people kindly.\n')
    path = Path("tea.yaml")
    path.write_text(EXPERIMENT.format(controls=controls))
    return path


def names(experiment: Experiment) -> list[str]:
    return [assistant.name for assistant in experiment.assistants]


async def test_one_line_adds_the_controls(here: Path) -> None:
    """A neutral twin and paraphrases of each persona, and the baseline once more."""
    path = write("{neutral: true, paraphrases: 2, same: true}")
    file = await write_controls(path, on_progress=lambda progress: None)
    assert file == Path("tea.controls.yaml")
    experiment = Experiment.load(path)
    assert names(experiment) == [
        "none", "art", "kind", "none.same", "art.neutral", "art.p1", "art.p2",
        "kind.neutral", "kind.p1", "kind.p2",
    ]  # fmt: skip
    kinds = {control.persona: (control.kind, control.of) for control in experiment.controls}
    assert kinds["none.same"] == ("same", "none")
    assert kinds["kind.p2"] == ("paraphrase", "kind")
    texts = {a.name: a.system_prompt for a in experiment.assistants}
    assert texts["kind.p1"] == "Treat people kindly."
    assert texts["none.same"] is None
    assert "Treat people kindly." in file.read_text()


async def test_the_same_is_asked_for_draws_of_its_own(here: Path) -> None:
    """Equal requests share an answer; the baseline against itself must not."""
    drawn: list[int] = []

    def dice(messages: Sequence[Message], sampling: Sampling) -> str:
        drawn.append(sampling.repeat)
        return f"{sampling.repeat} {sampling.seed}"

    experiment = Experiment.define(
        "twins", personas=["none"], models=[ScriptedClient(dice)], cases=["?"], repeats=3,
        sampling={"seed": 10}, controls={"same": True},
    )  # fmt: skip
    run = await experiment.run(on_progress=lambda progress: None)
    assert sorted(drawn) == [0, 1, 2, 3, 4, 5]
    table = run.pivot()
    assert list(table["none"]) == ["0 10", "1 11", "2 12"]
    assert list(table["none.same"]) == ["3 13", "4 14", "5 15"]


async def test_an_edited_text_is_kept_and_asked(here: Path) -> None:
    """What stands in the file is what is asked; the command does not overwrite it."""
    path = write("{paraphrases: 1}")
    file = await write_controls(path, on_progress=lambda progress: None)
    assert file
    file.write_text(file.read_text().replace("Treat people kindly.", "Be nice."))
    await write_controls(path, on_progress=lambda progress: None)
    texts = {a.name: a.system_prompt for a in Experiment.load(path).assistants}
    assert texts["kind.p1"] == "Be nice."


async def test_a_text_of_an_earlier_persona_is_refused_and_made_anew(here: Path) -> None:
    """A paraphrase of what the persona no longer says controls nothing."""
    path = write("{paraphrases: 1}")
    await write_controls(path, on_progress=lambda progress: None)
    path.write_text(path.read_text().replace("Be kind to", "Be rude to"))
    with pytest.raises(
        FileError, match=r"'kind.p1' was made from an earlier text of 'kind'"
    ) as told:
        Experiment.load(path)
    assert "assistants controls tea.yaml" in str(told.value)
    await write_controls(path, on_progress=lambda progress: None)
    assert "kind.p1" in names(Experiment.load(path))


async def test_paraphrases_are_paid_for_once(here: Path) -> None:
    """What the model said is a run of its own in the results folder."""
    path = write("{paraphrases: 2}")
    await write_controls(path, on_progress=lambda progress: None)
    await write_controls(path, on_progress=lambda progress: None)
    (first,) = Results().runs("tea.paraphrases")
    assert len(first.trials()) == 4
    Path("tea.controls.yaml").unlink()
    await write_controls(path, on_progress=lambda progress: None)
    second = Results().runs("tea.paraphrases")[1]
    assert set(second.trials()["key"]) == set(first.trials()["key"])


async def test_again_means_other_paraphrases(here: Path) -> None:
    """Whoever does not like them gets new ones, and not the stored ones."""
    path = write("{paraphrases: 1}")
    await write_controls(path, on_progress=lambda progress: None)
    await write_controls(path, again=True, on_progress=lambda progress: None)
    first, second = Results().runs("tea.paraphrases")
    assert not set(second.trials()["key"]) & set(first.trials()["key"])


async def test_the_newest_run_is_not_that_of_the_paraphrases(here: Path) -> None:
    """It is there by its own name; who asks for the newest run means the experiment."""
    path = write("{paraphrases: 1}")
    await write_controls(path, on_progress=lambda progress: None)
    run = await Experiment.load(path).run(on_progress=lambda progress: None)
    await write_controls(path, again=True, on_progress=lambda progress: None)
    assert Results().latest().id == run.id


async def test_paraphrases_and_the_run_share_one_cap(here: Path) -> None:
    """A cap is on everything that is asked for an experiment, and half an answer is no control."""
    path = write("{paraphrases: 1}")
    spending = Budget(Limits(tokens=1))
    with pytest.raises(BudgetExceededError, match="before all paraphrases"):
        await write_controls(path, budget=spending, on_progress=lambda progress: None)
    assert not Path("tea.controls.yaml").exists()
    await write_controls(path, on_progress=lambda progress: None)
    run = await Experiment.load(path).run(on_progress=lambda progress: None, budget=spending)
    assert run.outcome == "limit"


def test_missing_texts_are_named(here: Path) -> None:
    """With the command that makes them."""
    path = write("{paraphrases: 1}")
    with pytest.raises(FileError, match=r"no text of 'art.p1' yet") as told:
        Experiment.load(path)
    assert "assistants controls tea.yaml" in str(told.value)


def test_without_a_file_a_neutral_text_has_as_many_words(here: Path) -> None:
    """So that ``Experiment.define`` can have one too."""
    experiment = Experiment.load(write("{neutral: true}"))
    texts = {a.name: a.system_prompt or "" for a in experiment.assistants}
    assert len(texts["kind.neutral"].split()) == len(texts["kind"].split())
    assert texts["kind.neutral"] != texts["kind"]


async def test_a_model_that_gives_no_paraphrase_is_an_error(here: Path) -> None:
    """That says what to do; no half a file is left."""
    path = write("{paraphrases: 1}")
    Path("words.yaml").write_text('"*": ""\n')
    with pytest.raises(UsageError, match=r"gave no paraphrase of 'art' \(empty\)"):
        await write_controls(path, on_progress=lambda progress: None)
    assert not Path("tea.controls.yaml").exists()


@pytest.mark.parametrize(
    ("controls", "said"),
    [
        ("{paraphrases: -1}", "greater than or equal to 0"),
        ("{neutral: maybe}", "true or false"),
        ("{natural: true}", "natural"),
        ("{paraphrases: 1, model: nosuch}", "nosuch"),
    ],
)
async def test_a_mistake_names_its_line(here: Path, controls: str, said: str) -> None:
    """Before anything is asked."""
    with pytest.raises(UsageError, match=said):
        await write_controls(write(controls), on_progress=lambda progress: None)


def test_the_same_needs_a_baseline(here: Path) -> None:
    """There is nothing to repeat without one."""
    with pytest.raises(FileError, match="compared with the baseline"):
        Experiment.define(
            "x", personas=["art"], models=["echo"], cases=["?"], controls={"same": True}
        )


@given(st.text(min_size=1).filter(str.strip))
def test_a_file_holds_any_text_a_model_may_write(text: str) -> None:
    """Written as YAML and read back, a text is the one that the model gave."""
    from assistants.runs.control_texts import as_yaml

    stripped = to_utf8(text).strip()
    entry = ControlText(
        persona="a.p1", kind="paraphrase", of="a", digest="d", system_prompt=stripped
    )
    (read,) = parse_yaml(as_yaml("x", [entry]), "x").data["controls"]
    assert read["system_prompt"].strip() == stripped


def test_a_controls_file_with_a_mistake_is_refused(here: Path) -> None:
    """With file and line."""
    Path("x.controls.yaml").write_text("controls:\n- persona: ../x\n  kind: neutral\n  of: a\n"
                                       "  digest: d\n  system_prompt: t\n")  # fmt: skip
    with pytest.raises(FileError, match=r"x.controls.yaml:2"):
        read_controls_file(Path("x.controls.yaml"))
