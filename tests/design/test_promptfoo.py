"""Configurations of promptfoo become experiments that run, or say what of them would be lost."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from assistants.design import Imported, import_promptfoo
from assistants.errors import FileError, PartialImportError, UsageError
from assistants.experiment import Experiment
from assistants.results import Run
from support.commands import call
from support.experiments import quiet

CONFIGS = Path(__file__).parent / "promptfoo"
WHOLE = sorted(
    path.name for path in CONFIGS.iterdir() if path.name not in ("not-ours", "unlike-questions")
)


def imported(name: str, **more: Any) -> Imported:
    (config,) = (CONFIGS / name).glob("*config.*")
    return import_promptfoo(config, Path("out"), **more)


def content(found: Imported) -> dict[str, Any]:
    return dict(YAML(typ="safe").load(found.path.read_text()))


async def run(found: Imported, answer: str | None = None) -> Run:
    """Run what was imported on the echo, or on a script that always says ``answer``."""
    model = "scripted:echo"
    if answer is not None:
        script = json.dumps({"*": answer})
        (found.path.parent / "answers.yaml").write_text(script)
        model = "scripted:answers.yaml"
    changes: dict[str, Any] = {"models": [model]}
    if "assistants" in content(found):
        pairs = content(found)["assistants"]
        changes = {"assistants": [{**pair, "model": model} for pair in pairs[:1]]}
    return await Experiment.load(found.path, **changes).run(on_progress=quiet)


def scores(run: Run) -> dict[tuple[str, str], float]:
    frame = run.scores()
    known = frame.dropna(subset=["value"])
    return {(row.scorer, row.case): row.value for row in known.itertuples()}


def config(text: str, **files: str) -> Path:
    """Write a configuration and files beside it into a folder of their own."""
    folder = Path("theirs")
    for name, body in {"promptfooconfig.yaml": text, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    return folder / "promptfooconfig.yaml"


def lost(error: pytest.ExceptionInfo[PartialImportError]) -> str:
    return "\n".join(error.value.losses)


@pytest.mark.parametrize("name", WHOLE)
async def test_each_kind_of_configuration_runs(here: Path, name: str) -> None:
    """Nothing of it is lost, and every trial of what it became is answered."""
    found = imported(name)
    assert found.losses == ()
    assert "Not carried over" not in found.path.read_text()
    done = await run(found)
    assert set(done.statuses()) == {"ok"}


async def test_a_text_becomes_questions(here: Path) -> None:
    """One case for each combination of values, with the variables filled in."""
    found = imported("text-and-variables")
    assert [case.questions[0] for case in found.design.cases] == [
        f"Say in one sentence how the weather is in {city} in {season}."
        for city in ("Oslo", "Quito")
        for season in ("winter", "summer")
    ]
    assert [(a.name, a.model) for a in found.design.assistants] == [("none", "openai:gpt-6-luna")]
    assert found.design.description == "Weather reports"
    done = await run(found, "It is SNOWING.")
    assert set(scores(done).values()) == {1.0}


def test_a_chat_becomes_a_persona_and_settings_stay_with_their_model(here: Path) -> None:
    """The system message is a file; repeats and calls in flight are carried over."""
    found = imported("chat-file")
    luna, llama = found.design.assistants
    assert luna.system_prompt == "You repair bicycles. Answer in one line."
    assert (luna.model, llama.model) == ("openai:gpt-6-luna", "ollama:llama3.2:1b")
    assert luna.sampling.as_dict() == {"temperature": 0.2, "max_tokens": 80}
    assert llama.sampling.as_dict() == {"temperature": 0.9}
    assert (found.design.repeats, found.design.concurrency) == (2, 3)
    assert [case.id for case in found.design.cases] == ["a-flat-tyre", "a-loose-chain"]
    persona = (found.path.parent / "personas" / "bicycle-mechanic.md").read_text()
    assert persona.endswith("---\nYou repair bicycles. Answer in one line.\n")


async def test_system_messages_are_compared_as_personas(here: Path) -> None:
    """The prompt without one is the baseline, and variables reach persona and question."""
    found = imported("system-messages")
    assert found.design.baseline == "none"
    done = await run(found)
    asked = done.trials().set_index(["case", "persona"])["answer"]
    assert len(asked) == 6
    assert asked["test-1", "for-audience"].startswith("system: You speak to sailors.")
    assert asked["test-2", "for-audience"].startswith("system: You speak to cooks.")
    for text in asked["test-2"]:
        assert "user: What does }} mean?" in text


async def test_prompts_with_one_last_paragraph_send_the_same_message(here: Path) -> None:
    """Their beginnings are personas within the question, character for character."""
    found = imported("common-last-paragraph")
    done = await run(found)
    asked = [text.partition("\n\n(")[0] for text in done.trials()["answer"]]
    parts = (CONFIGS / "common-last-paragraph" / "prompts.txt").read_text().split("\n---\n")
    letters = ["Dear Sir, I never got my lamp.", "Thank you, the lamp is lovely."]
    expected = {
        "user: " + part.strip().replace("{{letter}}", letter)
        for part in parts
        for letter in letters
    }
    assert set(asked) == expected
    assert found.design.baseline == "none"


async def test_what_each_test_expects_becomes_its_reference(here: Path) -> None:
    """A test that expects nothing has no reference, and no score: that is no zero."""
    found = imported("table-of-tests")
    assert [(c.id, c.reference) for c in found.design.cases] == [
        ("peru", "Lima"), ("test-2", "Nairobi"), ("test-3", None),
    ]  # fmt: skip
    done = await run(found, "I think it is LIMA.")
    assert set(scores(done).values()) == {1.0, 0.0}
    assert {case for _, case in scores(done)} == {"peru", "test-2"}


async def test_an_exact_answer_of_each_test_is_compared_exactly(here: Path) -> None:
    """The value of a variable is filled in; numbers are texts."""
    found = imported("equal-to-its-own")
    assert [case.reference for case in found.design.cases] == ["5", "17"]
    assert scores(await run(found, "17")) == {
        ("equals-reference", "test-1"): 0.0,
        ("equals-reference", "test-2"): 1.0,
    }


async def test_every_comparison_means_what_it_meant(here: Path) -> None:
    """Of each assertion, the score is 1 exactly where promptfoo passes."""
    found = imported("deterministic")
    answer = "user: Who was\nAda (Lovelace), born 1815?"
    done = await run(found, answer)
    value = {name: score for (name, case), score in scores(done).items() if case == "test-1"}
    assert value == {
        "contains": 1, "mentions-ada": 1, "contains-all": 1, "icontains-all": 1,
        "contains-any": 1, "starts-with": 1, "regex": 1, "regex-2": 0, "not-contains": 0,
        "not-icontains": 1, "not-regex": 1, "not-starts-with": 1, "not-equals": 1, "is-json": 0,
        "refusal": 0, "is-json-2": 0,
    }  # fmt: skip
    other = {name: score for (name, _), score in scores(await run(found, "Ada")).items()}
    assert (other["regex-2"], other["not-regex"], other["not-equals"]) == (1, 0, 0)
    assert (other["contains-all"], other["contains-any"], other["not-contains"]) == (0, 0, 0)


async def test_rubrics_become_one_judge(here: Path) -> None:
    """All that a model is asked about an answer are criteria of one judge."""
    found = imported("rubrics")
    (judge,) = found.design.judges
    assert judge.assistant.model == "scripted:echo"
    assert list(judge.criteria) == ["llm-rubric", "kitchen", "g-eval", "g-eval-2", "factuality"]
    assert judge.criteria["g-eval-2"] == "Is it friendly?"
    assert "Everything is made of atoms." in judge.criteria["factuality"]
    assert "Weights and thresholds" in found.path.read_text()


def test_a_rubric_for_each_test_is_what_the_judge_finds_as_reference(here: Path) -> None:
    """And the best of several prompts is a comparison of personas."""
    found = imported("a-rubric-for-each")
    assert [c.reference for c in found.design.cases] == [
        "Says that it makes a loop", "Says where the rope ends",
    ]  # fmt: skip
    assert found.design.cases[0].questions[0] == "How do I tie a bowline?"
    best, rubric = found.design.judges
    assert (best.name, rubric.name) == ("best", "rubric")
    assert [a.name for a in found.design.assistants] == ["one", "two"]
    assert found.design.baseline == "one"


def test_a_judge_is_named_where_none_is(here: Path) -> None:
    """The file says which model judges, since promptfoo has a default of its own."""
    path = config(
        "prompts: ['{{q}}']\nproviders: echo\ntests:\n"
        "  - {vars: {q: Hi}, assert: [{type: llm-rubric, value: Is it kind}]}\n"
    )
    found = import_promptfoo(path, Path("out"))
    assert "No model is named to judge, so chatgpt does." in found.path.read_text()


def test_blocks_written_once_are_found(here: Path) -> None:
    """``$ref`` is followed within the file, and one that leads nowhere says where it stands."""
    assert len(imported("shared-blocks").design.scorers) == 2
    path = config("prompts: [Hi]\nproviders: echo\ntests: [{assert: [{$ref: '#/no/such'}]}]\n")
    with pytest.raises(FileError, match=r":3: `\$ref: #/no/such` leads nowhere"):
        import_promptfoo(path, Path("elsewhere"))
    path.write_text("prompts: [Hi]\nproviders: echo\na: {$ref: '#/a'}\ntests: []\n")
    with pytest.raises(FileError, match="leads nowhere"):
        import_promptfoo(path, Path("elsewhere"))


async def test_a_configuration_in_many_files_is_one_experiment(here: Path) -> None:
    """Patterns, YAML, JSON and JSON lines; a variable may be the text of a file."""
    found = imported("many-files")
    assert len(found.design.cases) == 5
    assert found.design.cases[0].questions[0] == "I live by the sea. When do I plant peas?"
    assert found.design.assistants[0].sampling.max_tokens == 60


def test_nested_variables_are_taken_apart(here: Path) -> None:
    """As an evaluation that comes from OpenAI's Evals may have them."""
    found = imported("nested-variables")
    assert found.design.name == "nested-variables"
    case = found.design.cases[0]
    assert (case.questions[0], case.reference) == ("My screen is black.", "hardware")


async def test_prompts_that_differ_in_the_question_are_not_compared(here: Path) -> None:
    """That is said; with ``--partial`` each prompt of each test is a case."""
    with pytest.raises(PartialImportError, match="differ within the question"):
        imported("unlike-questions")
    found = imported("unlike-questions", partial=True)
    assert [case.questions[0] for case in found.design.cases] == [
        "Write a haiku about moss.", "Write a limerick about moss.",
        "Write a haiku about tin.", "Write a limerick about tin.",
    ]  # fmt: skip


NOT_OURS = """\
{{ env... }}|greet.py|exec:|outside the configuration's folder|langfuse|no chat model|python:model
add [providers.mistral]|`apiKey`|temperature must be between|`tools`|`env`|`extensions`|`scenarios`
`redteam`|`colour`|`javascript`|`python`|`latency`|`cost`|`similar`|check.js|no regular expression
`transform` of an assertion|`provider` of a test|`transform` among the options|`starts-with` is not
tests at an address|tests.xlsx"""


async def test_everything_that_is_lost_is_listed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with file and line, on screen or at the head of the experiment; never a key's value."""
    monkeypatch.setenv("SECRET", "from-the-environment")
    monkeypatch.setenv("HOME", "/home/from-the-environment")
    with pytest.raises(PartialImportError) as error:
        imported("not-ours")
    listed = lost(error)
    for words in NOT_OURS.replace("\n", "|").split("|"):
        assert words in listed, words
    assert len(error.value.losses) >= 30
    for line in error.value.losses:
        assert re.search(r"promptfooconfig\.yaml:\d+: ", line)
    assert not Path("out").exists()
    found = imported("not-ours", partial=True)
    text = found.path.read_text()
    head = "".join(line for line in text.splitlines(True) if line.startswith("#"))
    for line in error.value.losses:
        assert line in head
    for secret in ("sk-not-for", "from-the-environment"):
        assert secret not in listed + text
    assert [a.model for a in found.design.assistants] == ["openai:gpt-6-luna"]
    assert [case.questions[0] for case in found.design.cases] == ["Greet Ida.", "Greet Per."]
    assert set((await run(found)).statuses()) == {"ok"}


def test_the_command_imports_and_says_what_to_do(here: Path) -> None:
    """A loss is exit code 2 and a list; with ``--partial`` it is counted."""
    path = str(CONFIGS / "unlike-questions" / "promptfooconfig.yaml")
    refused = call("import", path)
    assert refused.code == 2
    assert "one thing cannot be carried over" in refused.err
    assert "--partial" in refused.err
    done = call("import", path, "--partial")
    assert done.code == 0
    assert "1 thing" in done.err
    assert "assistants run experiments/unlike-questions/unlike-questions.yaml" in done.err
    again = call("import", path, "--partial")
    assert (again.code, "is there already" in again.err) == (2, True)
    assert call("run", "experiments/unlike-questions/unlike-questions.yaml", "--dry-run").code == 0


# -- a stranger's file -----------------------------------------------------------------------------

SIMPLE = "prompts: ['{{q}}']\nproviders: echo\n"


@pytest.mark.parametrize(
    "reference",
    ["file://../secret.txt", "file:///etc/hostname", "file://link.txt", "file://up/secret.txt",
     "file://../*.txt", "file://{{env.HOME}}/x.txt"],
)  # fmt: skip
def test_no_file_outside_the_folder_is_read(here: Path, reference: str) -> None:
    """Neither by a path, nor by a link, nor by a pattern, wherever a file may be named."""
    Path("secret.txt").write_text("the secret")
    Path("theirs").mkdir()
    Path("theirs/link.txt").symlink_to(here / "secret.txt")
    Path("theirs/up").symlink_to(here)
    check = f"[{{type: contains, value: '{reference}'}}]"
    for text in (
        f"prompts: ['{reference}', Hi]\nproviders: echo\n",
        f"{SIMPLE}tests: [{{vars: {{q: '{reference}'}}}}, {{vars: {{q: Hi}}}}]\n",
        f"{SIMPLE}tests: ['{reference}', {{vars: {{q: Hi}}}}]\n",
        f"{SIMPLE}tests: [{{vars: {{q: Hi}}, assert: {check}}}]\n",
    ):
        with pytest.raises((PartialImportError, FileError)) as error:
            import_promptfoo(config(text), Path("out"))
        assert "the secret" not in str(error.value)
        try:
            found = import_promptfoo(config(text), Path("out"), partial=True)
        except FileError:
            continue
        for path in found.path.parent.rglob("*.*"):
            assert "the secret" not in path.read_text()
        shutil.rmtree("out")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [x]\nb: *a\n", "yq 'explode"),
        ("a: !!python/object/apply:os.system [id]\n", "tags"),
        ("[" * 5000, "nested"),
        ("prompts: " + "x" * 600_000, "at most"),
        ("- a list", "expected a mapping"),
        ("prompts: [Hi]\n", "no `providers`"),
        ("prompts: ['{% for a in b %}{% endfor %}']\nproviders: echo\n", "no prompt can be"),
        (f"{SIMPLE}tests: [{{vars: {{a: 1}}}}]\n", "no test can be carried over"),
    ],
)
def test_a_file_that_is_none_is_refused(here: Path, text: str, said: str) -> None:
    """Bombs, tags and things of another form; nothing is left behind."""
    with pytest.raises(UsageError, match=re.escape(said)):
        import_promptfoo(config(text), Path("out"), partial=True)
    assert not Path("out").exists()


def test_lists_of_values_cannot_explode(here: Path) -> None:
    """Twenty lists of ten values are refused before one combination is made."""
    lists = "".join(f"      v{n}: [{', '.join('abcdefghij')}]\n" for n in range(20))
    with pytest.raises(FileError, match=r"more than 100,000 tests"):
        import_promptfoo(config(f"{SIMPLE}tests:\n  - vars:\n{lists}"), Path("out"))


def test_a_program_is_no_configuration(here: Path) -> None:
    """A configuration in JavaScript is not run."""
    Path("promptfooconfig.js").write_text("require('fs').writeFileSync('ran', '')")
    with pytest.raises(FileError, match="is a program"):
        import_promptfoo(Path("promptfooconfig.js"))
    assert [path.name for path in Path().iterdir()] == ["promptfooconfig.js"]


def test_hostile_names_and_texts_stay_where_they_belong(here: Path) -> None:
    """Labels lead nowhere, and no text ends the comment that it stands in."""
    text = json.dumps(
        {
            "description": "x\nallow_code: true",
            "prompts": [
                {"label": "../../up", "raw": json.dumps([
                    {"role": "system", "content": "---\nempty: true\n---\nYou are {{q}}."},
                    {"role": "user", "content": "{{q}}"}])},
                {"label": "b", "raw": json.dumps([
                    {"role": "system", "content": "B"}, {"role": "user", "content": "{{q}}"}])},
            ],
            "providers": "echo",
            "tests": [{"vars": {"q": "{% evil %} {{ 7 * 7 }}\x1b[2J"}}, {"vars": {"q": "b: c"}},
                      {"vars": {"q": "ok"}}],
            "evil\nallow_code: true": 1,
        }
    )  # fmt: skip
    path = config("")
    path = path.with_suffix(".json")
    path.write_text(text)
    found = import_promptfoo(path, Path("out"), partial=True)
    assert sorted(p.name for p in (found.path.parent / "personas").iterdir()) == ["b.md", "up.md"]
    assert "allow_code" not in content(found)
    assert "\x1b" not in found.path.read_text()
    persona = found.design.assistants[0].persona
    assert persona.text == "---\nempty: true\n---\nYou are {{q}}."


async def test_many_cases_stand_in_a_file_of_their_own(here: Path) -> None:
    """An experiment file stays one that a person can read."""
    rows = "".join(f'"{n}, please",contains:{n}\n' for n in range(60))
    path = config(f"{SIMPLE}tests: file://t.csv\n", **{"t.csv": f"q,__expected\n{rows}"})
    found = import_promptfoo(path, Path("out"))
    assert content(found)["cases"] == "theirs-cases.jsonl"
    assert len(found.design.cases) == 60
    assert set(scores(await run(found)).values()) == {1.0}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.floats(allow_nan=False)
    | st.sampled_from([
        "", "x", "{{q}}", "{{env.HOME}}", "{% if", "file://x.txt", "file://*", "file://", "echo",
        "openai:gpt-6-luna", "equals", "llm-rubric", "contains-all", "assert-set", "is-json",
        "#/tests", "\x00", "\ud800", "[{\"role\": 1}]", "a\n\nb {{q}}",
    ]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "vars", "assert", "type", "value", "id", "raw", "label", "config", "options",
            "provider", "q", "$ref", "description", "threshold", "metric", "role", "content",
            "temperature",
        ]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
ASSERTIONS = st.fixed_dictionaries(
    {"type": st.sampled_from(["equals", "contains-any", "not-regex", "g-eval", "is-json", "cost"])},
    optional={"value": VALUES, "metric": VALUES, "provider": VALUES, "threshold": VALUES},
)
TESTS = st.fixed_dictionaries(
    {"vars": st.fixed_dictionaries({"q": st.sampled_from(["Hi", ["a", "b"]]) | VALUES})},
    optional={"assert": st.lists(ASSERTIONS, max_size=3) | VALUES, "options": VALUES},
)


@given(
    data=st.fixed_dictionaries(
        {"prompts": st.just(["{{q}}"]) | VALUES, "providers": st.just("echo") | VALUES},
        optional={
            "tests": st.lists(TESTS, max_size=3) | VALUES, "defaultTest": TESTS | VALUES,
            "evaluateOptions": VALUES, "description": VALUES, "assertionTemplates": VALUES,
        },
    )
)  # fmt: skip
@settings(max_examples=150)
def test_whatever_stands_there_is_imported_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    """Each value in each place: an experiment that can be read, or an error that a person can."""
    folder = tmp_path_factory.mktemp("any")
    path = folder / "theirs" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(data))
    (path.parent / "x.txt").write_text("{{q}} of a file")
    try:
        found = import_promptfoo(path, folder / "out", partial=True)
    except UsageError:
        assert not (folder / "out").exists()
    else:
        assert len(found.design) >= 1
    assert {p.name for p in folder.iterdir()} <= {"theirs", "out"}


@pytest.mark.parametrize(
    "prompt", ["{{" * 100_000, "{{ a" * 50_000, '{{ "' * 50_000, "{% " * 60_000, "{{a.b}}" * 5_000]
)
def test_no_template_takes_long(here: Path, prompt: str) -> None:
    """Tags that never close are looked through once."""
    with pytest.raises(UsageError):
        import_promptfoo(config(f"prompts: ['{prompt}']\nproviders: echo\n"), Path("out"))


def test_many_tests_of_one_name_take_no_longer_than_others(here: Path) -> None:
    """Each is a case with a name of its own."""
    rows = "".join(f"{n},The same\n" for n in range(4_000))
    path = config(f"{SIMPLE}tests: file://t.csv\n", **{"t.csv": f"q,__description\n{rows}"})
    found = import_promptfoo(path, Path("out"))
    assert len({case.id for case in found.design.cases}) == 4_000


def test_deep_json_is_refused(here: Path) -> None:
    """As deep YAML is; an expectation that only looks like an assertion is a text."""
    path = config(f"{SIMPLE}tests: file://t.json\n", **{"t.json": "[" * 900 + "]" * 900})
    with pytest.raises(FileError, match="nested more than 30 deep"):
        import_promptfoo(path, Path("out"))
    path = config(f"{SIMPLE}tests: file://t.csv\n", **{"t.csv": "q,__expected\na,http://x\nb,c: d"})
    assert [c.reference for c in import_promptfoo(path, Path("out")).design.cases] == [
        "http://x", "c: d",
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["x.yaml", "*", "*.yaml", "."])
def test_a_file_that_names_itself_ends(here: Path, end: str) -> None:
    """Prompts, providers and tests are looked for in a file, and not in the files of that file."""
    inner = f"- 'file://{end}'\n- {{id: 'file://{end}', label: a, raw: 'file://{end}'}}\n"
    for text in (
        "prompts: ['file://x.yaml', Hi]\nproviders: echo\nx: 1\n",
        "prompts: [Hi]\nproviders: ['file://x.yaml', echo]\n",
        "prompts: ['{{q}}']\nproviders: echo\ntests: ['file://x.yaml', {vars: {q: Hi}}]\n",
    ):
        found = import_promptfoo(config(text, **{"x.yaml": inner}), Path("out"), partial=True)
        assert found.losses
        assert [case.questions for case in found.design.cases] == [("Hi",)]
        shutil.rmtree("out")


def test_a_rubric_that_is_no_template_is_a_loss(here: Path) -> None:
    """And the rest of the experiment is there."""
    path = config(
        f"{SIMPLE}defaultTest: {{assert: [{{type: icontains, value: a}}]}}\ntests: file://t.csv\n",
        **{"t.csv": 'q,__expected\na,"llm-rubric: Is it {% kind?"\n'},
    )
    found = import_promptfoo(path, Path("out"), partial=True)
    assert len(found.losses) == 1
    assert [scorer.name for scorer in found.design.scorers] == ["icontains"]
