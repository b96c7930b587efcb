"""Talking in the terminal, and looking at what there is."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assistants.cli.doctor import Check
from assistants.results import Results
from assistants.runs import transcripts
from support.commands import call, on_terminal, start, write_experiment
from support.faulty_server import FaultyServer


@pytest.fixture(autouse=True)
def at_server(here: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """``vllm:`` is the loopback server, which says who it was told to be."""
    server.answer = lambda body: f"I was told: {body['messages'][0]['content'][:16]}"
    monkeypatch.setenv("VLLM_BASE_URL", server.url)


def test_ask_several_personas_on_several_models(server: FaultyServer) -> None:
    """Each persona answers on each model, in the order they were named."""
    done = call(*"ask -p art -p none -m vllm:a -m vllm:b".split(), "Why is the sky blue?")
    assert done.code == 0
    heads = [line.split(" (")[0] for line in done.out.splitlines() if line.startswith("==")]
    assert heads == [f"== {p} on vllm:{m}" for m in "ab" for p in ("art", "none")]
    assert done.out.count("I was told: You are a painte") == 2
    assert done.out.count("I was told: Why is the sky b") == 2
    assert len(server.requests) == 4


def test_settings_reach_the_model(server: FaultyServer) -> None:
    """Those of the line win over a persona's own, in ``ask`` and in ``chat``."""
    Path("own.md").write_text("---\nsampling: {temperature: 1, seed: 3}\n---\nHi.\n", "utf-8")
    options = "-p own -m vllm:a --personas . --temperature 0 --max-tokens 7 --set stop=END"
    assert call("ask", *options.split(), "Why?").code == 0
    assert call("chat", *options.split(), stdin="Why?\n\n").code == 0
    names = ("temperature", "max_tokens", "stop")
    sent = [[request.json[name] for name in names] for request in server.requests]
    assert sent == [[0, 7, ["END"]]] * 2
    assert server.requests[0].json["seed"] == 3  # the persona's; the next draw counts on


def test_ask_reads_a_question_from_stdin(server: FaultyServer) -> None:
    """``-`` is the question on stdin; an empty one is wrong usage."""
    assert call("ask", "-m", "vllm:a", "-", stdin="Long question.\n").code == 0
    assert server.requests[0].json["messages"][0]["content"] == "Long question.\n"
    assert call("ask", "-m", "vllm:a", "-", stdin=" \n").code == 2


def test_ask_keeps_the_answers_that_came(server: FaultyServer) -> None:
    """One model that fails takes no answer from the others; its reason is on stderr."""
    Path("models.toml").write_text(
        f'[providers.bad]\naddress = "{server.url_of("400")}"\n', encoding="utf-8"
    )
    done = call("ask", "-m", "bad:m", "-m", "vllm:a", "Why?")
    assert done.code == 1
    assert "I was told: Why?" in done.out
    assert "bad:m" in done.err
    assert "error" not in done.out


def test_ask_on_a_terminal_shows_each_answer_once_at_the_end() -> None:
    """Panels beside each other at 120 columns, one below the other at 60."""
    for columns, beside in ((120, True), (60, False)):
        code, screen = on_terminal(*"ask -p art -p none -m vllm:a".split(), "Why?", columns=columns)
        assert code == 0
        whole = screen.split("\x1b[?25h")[-1]  # what stays once the cursor is back
        assert whole.count("I was told") == 2
        rows = [row for row in whole.split("\r\n") if "I was told" in row]
        assert len(rows) == (1 if beside else 2)


def test_chat_leaves_the_record_of_a_widget(server: FaultyServer) -> None:
    """Every question is sent with its history; store, transcripts and log can be read back."""
    done = call("chat", "-p", "art", "-m", "vllm:a", "--results", "kept", stdin="One?\nTwo?\n\n")
    assert done.code == 0
    assert done.out.count("I was told") == 2
    sent = [m["content"] for m in server.requests[1].json["messages"]]
    assert sent[1:] == ["One?", "I was told: You are a painte", "Two?"]
    (run,) = Results("kept").runs("chat")
    assert list(run.trials()["question"]) == ["One?", "One?\n\nTwo?"]
    assert set(run.trials()["answer"]) == {"I was told: You are a painte"}
    folder = Path("kept/chat") / run.id
    assert str(folder / "conversation.md") in done.err
    assert "> Two?" in (folder / "conversation.md").read_text(encoding="utf-8")
    transcript, about = transcripts.read(max((folder / "transcripts").glob("*.md")))
    assert [m.role for m in transcript.messages] == ["system", "user", "assistant", "user"]
    assert (about["persona"], about["model"]) == ("art", "vllm:a")


def test_ask_leaves_the_record_of_a_widget(server: FaultyServer) -> None:
    """One run holds the answers of all columns; a second call draws the next repeat."""
    for _ in range(2):
        assert call(*"ask -p art -p none -m vllm:a --results kept".split(), "Why?").code == 0
    first, second = Results("kept").runs("ask")
    assert sorted(first.trials()["persona"]) == ["art", "none"]
    assert set(first.trials()["repeat"]) == {0}
    assert set(second.trials()["repeat"]) == {1}
    assert (Path("kept/ask") / first.id / "conversation.md").is_file()


def test_no_record_leaves_nothing() -> None:
    """``--no-record`` writes no file at all."""
    before = set(Path().rglob("*"))
    assert call("ask", "-m", "vllm:a", "--no-record", "Why?").code == 0
    assert call("chat", "-m", "vllm:a", "--no-record", stdin="One?\n").code == 0
    assert set(Path().rglob("*")) == before


def test_conversations_are_not_the_latest_run() -> None:
    """``assistants results`` shows the newest experiment; conversations are found by name."""
    call("ask", "-m", "vllm:a", "Why?")
    done = call("results")
    assert done.code != 0
    assert "names of its own: ask" in done.err
    call("run", write_experiment(), "--no-report")
    call("chat", "-m", "vllm:a", stdin="One?\n")
    assert "exp, run" in call("results").out
    assert Results().latest().experiment == "exp"
    assert Results().latest("chat").experiment == "chat"
    assert "chat, run" in call("results", "chat").out


def test_recording_needs_no_notebook_package(
    monkeypatch: pytest.MonkeyPatch, server: FaultyServer
) -> None:
    """A terminal without the extra ``notebooks`` records all the same."""
    code = (
        "import sys; sys.modules['anywidget'] = sys.modules['IPython'] = None\n"
        "from assistants.cli import main\n"
        "sys.argv = ['assistants', 'ask', '-m', 'vllm:a', 'Why?']\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(Results().runs("ask")) == 1


def test_chat_goes_on_after_a_failure(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that fails is said on stderr; its question is not part of what follows."""
    monkeypatch.setenv("VLLM_BASE_URL", server.url_of("400"))
    done = call("chat", "-m", "vllm:a", stdin="One?\nTwo?\n")
    assert done.code == 1
    assert "stored in" not in done.err
    assert done.err.count("error: ") == 2
    assert [m["content"] for m in server.requests[1].json["messages"]] == ["Two?"]
    (run,) = Results().runs("chat")
    assert set(run.trials()["status"]) == {"error"}


def test_a_command_is_no_question(server: FaultyServer) -> None:
    """Somebody who types ``/help`` is told that there are none; nobody is asked and nobody pays."""
    done = call("chat", "-m", "vllm:a", stdin="/help\nWhat is /etc?\n")
    assert done.code == 0
    assert "there are no commands here" in done.err
    assert [r.json["messages"][-1]["content"] for r in server.requests] == ["What is /etc?"]


def test_ctrl_c_ends_a_chat_that_waits_for_a_question() -> None:
    """It ends with 130, though it waits for a line."""
    process = start("chat", "-m", "vllm:a")
    with process:
        assert process.stderr is not None
        process.stderr.readline()  # it is about to read a line
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_personas_say_where_they_come_from() -> None:
    """The list names the file of a persona of one's own; a name shows the text that is sent."""
    Path("personas").mkdir()
    Path("personas/art.md").write_text(
        "---\nlabel: A\ndescription: Mine.\n---\nBe [red]bold[/red] :smile:\n", encoding="utf-8"
    )
    done = call("personas")
    assert done.code == 0
    assert "personas/art.md" in done.out
    for name in "science sport music history geography math physics philosophy literature".split():
        assert name in done.out
    one = call("personas", "art")
    assert (one.code, one.out) == (0, "Be [red]bold[/red] :smile:\n")
    assert "personas/art.md" in one.err
    assert call("personas", "none").out == "(no system message)\n"


def test_models_say_where_they_are(server: FaultyServer) -> None:
    """Short names, providers, the address in use, and the variable that holds the key."""
    Path("models.toml").write_text('[models]\nmine = "vllm:Q"\n', encoding="utf-8")
    done = call("models")
    assert done.code == 0
    for said in ("chatgpt", "smollm2", "mine", "vllm:Q", "models.toml", "OPENAI_API_KEY"):
        assert said in done.out
    assert server.url in done.out


def test_models_check_asks_each_server(server: FaultyServer) -> None:
    """One line a provider, and 0 whatever they say: it is a question, not a failure."""
    done = call("models", "check")
    assert f"{server.url}: 1 model" in " ".join(done.out.split())
    assert done.code == 0
    for name in ("local", "openai", "vllm", "ollama"):
        assert f" {name} " in done.out


def test_doctor_says_how_to_fix() -> None:
    """It exits with 0 when everything needed is there, else with 1 and the fix."""
    done = call("doctor")
    assert done.code == 0
    assert "python" in done.out
    assert "OPENAI_API_KEY" in done.out
    assert "Everything needed is there" in done.err
    Path("models.toml").write_text("[modles]\n", encoding="utf-8")
    broken = call("doctor")
    assert broken.code == 1
    assert "'modles'" in broken.out
    assert "models" in broken.err


def test_doctor_names_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is not installed is no failure, and the pip command is there."""
    import assistants.cli.doctor as module

    missing = Check("xllamacpp", False, "not installed", "pip install 'assistants[local]'", False)
    monkeypatch.setattr(module, "_extras", lambda: iter([missing]))
    done = call("doctor")
    assert done.code == 0
    assert "pip install" in done.out


def test_shells_complete_names() -> None:
    """Shells complete personas, models and experiments that there are."""
    from assistants.cli import options

    call("run", write_experiment(), "--no-report")
    assert options._personas("ph") == ["philosophy", "physics"]
    assert options._models("ch") == ["chatgpt"]
    assert options._experiments("") == ["exp"]
