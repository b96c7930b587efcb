"""``%%ask`` and the like: in a shell, in a kernel that runs a notebook, and interrupted."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

from assistants.report import kernel_manager
from assistants.results import Results
from support.hostile_texts import PAYLOADS
from support.slow_server import SlowServer

WORDS = " ".join(f"word{n}" for n in range(2000))


@pytest.fixture
def shell(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """An IPython shell without a notebook, as in a terminal, with the extension loaded."""
    monkeypatch.setenv("IPYTHONDIR", str(here / ".ipython"))
    settings = Config()
    settings.HistoryManager.enabled = False
    made = InteractiveShell.instance(config=settings)
    made.run_line_magic("load_ext", "assistants")
    yield made
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, cell: str) -> Any:
    """What a cell comes to; a mistake of ours is raised."""
    done = shell.run_cell(cell)
    assert done.success, done.error_in_exec
    return done.result


def notebook(*cells: str, **settings: Any) -> list[Any]:
    """The cells of a notebook after a real kernel has run it."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(made, kernel_manager_class=kernel_manager(), timeout=60, **settings)
    client.execute()
    return list(made.cells)


def left_by(cell: Any) -> str:
    """The HTML that a cell leaves behind."""
    return "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)


def completed(shell: InteractiveShell, typed: str) -> set[str]:
    """What the line may become at a press of Tab."""
    with provisionalcompleter():
        found = list(shell.Completer.completions(typed, len(typed)))
    return {typed[: each.start] + each.text for each in found}


def word(typed: str) -> str:
    """The beginning of the name that is being typed."""
    return re.split(r"[\s=]", typed)[-1]


def test_every_persona_answers_in_a_terminal(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order asked, complete when the cell ends, and stored like any other answer."""
    run(shell, "%%ask -p none -p art -m echo -n 2 --max-tokens 9 --temperature 0\nTea?\nOr coffee?")
    said = capsys.readouterr().out
    heads = [line for line in said.splitlines() if line.startswith("== ")]
    assert [head.partition(" (")[0] for head in heads] == [
        "== none on scripted:echo", "== none on scripted:echo, repeat 1",
        "== art on scripted:echo", "== art on scripted:echo, repeat 1",
    ]  # fmt: skip
    assert "user: Tea?\nOr coffee?" in said
    assert "temperature=0.0, max_tokens=9" in said
    assert len(Results("results").runs("compare")[0].trials()) == 4


def test_answers_become_a_table(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--into` binds a row an answer; without `-p` nobody's prompt is sent."""
    run(shell, "%%ask -m echo --into answers\nTea?")
    answers = shell.user_ns["answers"]
    assert list(answers["persona"]) == ["none"]
    assert answers["answer"][0].startswith("user: Tea?")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-p arts -m echo", "UsageError: unknown persona 'arts'. Did you mean 'art'?"),
        ("-m eccho", "UsageError: unknown model 'eccho'. Did you mean 'echo'?"),
        ("-m echo -n 0", "UsageError: at least one repeat is needed, not 0."),
        ("-m echo --temperature 9", "UsageError: temperature must be between 0 and 2"),
        ("-m echo --into 1x", "UsageError: '1x' is no name of a variable."),
        ("-m echo --shout", "UsageError: unrecognized arguments: --shout"),
        ("-m echo -n many", "UsageError: argument -n/--repeats: invalid int value"),
    ],
)
def test_a_mistake_is_one_message(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    """The usual error, with the nearest names; no traceback, and nothing was asked."""
    assert not shell.run_cell(f"%%ask {line}\nTea?").success
    shown = "".join(capsys.readouterr())
    assert shown.startswith(said)
    assert "Traceback" not in shown
    assert "File" not in shown
    assert not Path("results").exists()


def test_an_empty_question_is_said(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """As everywhere else."""
    assert not shell.run_cell("%%ask -m echo\n  \n").success
    assert "UsageError: The question is empty." in "".join(capsys.readouterr())


def test_one_that_fails_says_why_and_the_others_go_on(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model without a server does not take the answers of another along."""
    monkeypatch.setenv("VLLM_BASE_URL", "http://127.0.0.1:9/v1")
    run(shell, "%%ask -m vllm:x -m echo\nTea?")
    said = capsys.readouterr().out
    assert "== none on vllm:x (failed)\n\nerror: vllm:x: " in said
    assert "user: Tea?" in said


def test_hostile_text_does_nothing_to_a_terminal(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither an answer nor a persona moves the cursor or turns text around."""
    answer = "\x1b[2J\x1b]0;owned\x07 \u202egnp"
    Path("a.yaml").write_text('"*": "' + r"\e[2J\e]0;owned\a \u202egnp" + '"\n')
    Path("personas").mkdir()
    Path("personas/odd.md").write_text(f"---\nlabel: >-\n  {PAYLOADS[0]} \u202e\n---\nHello.")
    run(shell, "%%ask -m scripted:a.yaml\nTea?")
    found = run(shell, "%personas odd")
    said = capsys.readouterr().out + repr(found)
    assert not set(said) & set(answer) & set("\x1b\x07\u202e")
    assert r"\x1b[2J" in said
    assert "<script" not in found._repr_html_()


def test_personas_are_listed(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them, or those of a pattern; a name that is none says which are near."""
    Path("personas").mkdir()
    Path("personas/artful.md").write_text("---\nlabel: Sly\ndescription: Tricks.\n---\nBe sly.")
    everybody = repr(run(shell, "%personas")).splitlines()
    assert everybody[0].split() == ["persona", "label", "description", "source"]
    assert any(line.startswith("history ") for line in everybody)
    _head, art, artful = repr(run(shell, "%personas art*")).splitlines()
    assert art.endswith("built in")
    assert artful.split() == ["artful", "Sly", "Tricks.", "personas/artful.md"]
    assert not shell.run_cell("%personas arts").success
    assert "Did you mean 'art' or 'artful'" in "".join(capsys.readouterr())


def test_models_are_listed(shell: InteractiveShell) -> None:
    """Short names, what they stand for, and which variable holds a key, never the key."""
    lines = [line.split() for line in repr(run(shell, "%models")).splitlines()]
    assert ["smollm2", "local:smollm2", "built", "in"] in lines
    assert ["openai:ID", "https://api.openai.com/v1", "OPENAI_API_KEY", "built", "in"] in lines


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("%%ask -p hist", {"history"}),
        ("%%ask -m echo --persona ph", {"philosophy", "physics"}),
        ("%%ask --persona=hist", {"history"}),
        ("%%ask -p art -m sm", {"smollm2"}),
        ("%%ask -p art --model e", {"echo"}),
        ("%personas lit", {"literature"}),
        ("%%ask -p my-p", {"my-persona"}),
    ],
)
def test_names_are_completed(
    shell: InteractiveShell, here: Path, typed: str, wanted: set[str]
) -> None:
    """Personas after -p and in %personas, models after -m; and nothing else is offered."""
    (here / "personas").mkdir()
    (here / "personas" / "my-persona.md").write_text("Hello.")
    assert completed(shell, typed) == {typed[: typed.rindex(word(typed))] + each for each in wanted}


@pytest.mark.parametrize("typed", ["%%ask -p art lit", "x = -p lit", "%%ask --into lit"])
def test_nothing_is_completed_where_no_name_belongs(shell: InteractiveShell, typed: str) -> None:
    """Other words stay Python's own business."""
    assert not any(line.endswith("literature") for line in completed(shell, typed))


def test_loading_again_is_no_harm(shell: InteractiveShell) -> None:
    """One matcher, however often."""
    before = len(shell.Completer.custom_matchers)
    shell.run_line_magic("reload_ext", "assistants")
    assert len(shell.Completer.custom_matchers) == before


def test_a_notebook_keeps_the_answers(here: Path) -> None:
    """Whole when the cell ends: the next cell has them, and static HTML stands under the cell."""
    (here / "a.yaml").write_text('"Tea?": "With **milk**. <script>x</script>"\n')
    _, asked, used = notebook(
        "%load_ext assistants",
        "%%ask -p none -p art -m echo -m scripted:a.yaml --into answers\nTea?",
        "print(list(answers['state']), answers['answer'][3])",
    )
    page = left_by(asked)
    assert "art on scripted:echo" in page
    assert "With <strong>milk</strong>." in page
    assert "<script>" not in page
    assert used.outputs[0]["text"].startswith("['done', 'done', 'done', 'done'] With **milk**.")


def test_a_mistake_stops_a_notebook(here: Path) -> None:
    """Papermill must not go on as if there were answers."""
    with pytest.raises(CellExecutionError, match="Did you mean 'art'"):
        notebook("%load_ext assistants", "%%ask -p arts -m echo\nTea?")


def test_an_interrupt_gives_the_prompt_back_and_keeps_the_text(here: Path) -> None:
    """Within a second; the answer so far stands in the table, and no call goes on."""
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        with SlowServer(lambda request: WORDS) as server:
            client.execute_interactive(
                f"import os; os.environ['VLLM_BASE_URL'] = {server.url!r}\n%load_ext assistants",
                timeout=60,
            )
            asked = client.execute("%%ask -m vllm:slow --into answers\nWords?")
            while not server.in_flight:
                time.sleep(0.01)
            time.sleep(0.5)
            manager.interrupt_kernel()
            reply = client.get_shell_msg(timeout=60)
            assert reply["parent_header"]["msg_id"] == asked
            assert reply["content"]["ename"] == "KeyboardInterrupt"
            seen: list[str] = []
            client.execute_interactive(
                "print(answers['state'][0], answers['answer'][0][:11])",
                timeout=60,
                output_hook=lambda message: seen.append(message["content"].get("text", "")),
            )
            assert "".join(seen).strip() == "stopped word0 word1"
            assert server.in_flight == 0
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
