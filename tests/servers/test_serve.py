"""Servers start one at a time, are found by name, and say why when they do not start."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistants.assistant import Assistant
from assistants.clients import connect, registry
from assistants.errors import ServerUnreachableError
from assistants.personas import Persona
from assistants.servers import LaunchOptions
from assistants.trial import Case, Trial
from support.commands import call, start
from support.server_machine import children, machine_at, said_by, served, until


@pytest.fixture
def machine(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with machine_at(here, monkeypatch) as ready:
        yield ready


def test_a_started_server_shows_where_it_is_and_what_fits(machine: Path) -> None:
    """The card: address, name, cache, and how many conversations of which length."""
    done, entry = served("good")
    assert f"{entry.url}/v1" in done.out
    assert "vllm:good" in done.out
    assert "4,096 tokens" in done.out
    assert "4 of 1,000 tokens" in done.out  # 63 blocks each, of 256
    assert "good: " in done.err
    assert entry.memory > 1_000_000


def test_its_model_is_found_by_name(machine: Path) -> None:
    """``vllm:NAME`` is the running server of that name: no address and no key to copy."""
    served("good", "--served-name", "Other/Model-1")
    assert said_by("vllm:Other/Model-1") == "Other/Model-1 was asked Other/Model-1"


def test_an_address_in_the_environment_wins(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets VLLM_BASE_URL means it."""
    served("good")
    monkeypatch.setenv("VLLM_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(ServerUnreachableError, match=r"127\.0\.0\.1:9"):
        said_by("vllm:good")


def test_an_address_of_the_users_file_wins(machine: Path) -> None:
    """Whoever says where vllm: is, means it, whatever runs here."""
    served("good")
    Path("models.toml").write_text('[providers.vllm]\naddress = "http://127.0.0.1:9/v1"\n')
    with pytest.raises(ServerUnreachableError, match=r"127\.0\.0\.1:9"):
        said_by("vllm:good")


def test_a_port_in_use_is_a_clear_error(machine: Path) -> None:
    """It names the port, who has it if that is known, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = call("serve", "good", "--port", str(port))
    assert done.code == 2
    assert f"Port {port} is taken." in done.err
    _, entry = served("good")
    done = call("serve", "good", "--served-name", "b", "--port", str(entry.port))
    assert "is taken by good" in done.err
    assert "already" in call("serve", "good").err


def test_a_port_that_is_lost_in_the_last_moment_is_no_matter(machine: Path) -> None:
    """Between looking and taking, vLLM imports for many seconds: another port is tried."""
    done, entry = served("beaten")
    assert (machine / "beaten").exists()
    assert f"{entry.url}/v1" in done.out


def test_a_server_that_ends_while_it_starts_says_why(machine: Path) -> None:
    """Its last words, without key and colours, and what to do about them."""
    done = call("serve", "dies")
    assert done.code == 1
    assert "dies ended" in done.err
    assert "CUDA out of memory" in done.err
    assert "too little memory" in done.err
    assert "[redacted]" in done.err
    assert "\x1b" not in done.err
    assert registry.records() == []
    assert children() == []


def test_a_server_that_does_not_answer_is_given_up(machine: Path) -> None:
    """After the time that was allowed, and nothing of it is left."""
    done = call("serve", "never", "--wait", "1")
    assert done.code == 1
    assert "did not answer within 1 s" in done.err
    assert children() == []


def test_starts_take_turns(machine: Path) -> None:
    """Two commands at once: the second begins when the first one's server answers."""
    first = start("serve", "slow", "--detach", cwd=machine)
    until("the first start", registry.records, 60)
    second = start("serve", "good", "--detach", cwd=machine)
    assert second.stderr is not None
    assert "waiting for another server's start" in second.stderr.readline()
    assert [entry.name for entry in registry.records()] == ["slow"]
    (machine / "go").touch()
    second.communicate(timeout=60)
    first.communicate(timeout=60)
    slow, good = registry.records()
    assert slow.cache_tokens
    assert (slow.name, good.name) == ("slow", "good")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["serve"], "Name either a model"),
        (["serve", "m", "--plan", "x.toml"], "Name either a model"),
        (["serve", "--plan", "x.toml"], "there is no such file"),
        (["serve", "--plan", "x.toml", "--gpus", "1"], "--gpus cannot be used with `--plan`"),
        (["serve", "--plan", "x.toml", "--host", "::"], "--host cannot be used with `--plan`"),
        (["serve", "--plan", "x.toml", "--port", "9", "--dtype", "half"], "--port, --dtype cannot"),
        (["serve", "m", "--gpus", "a"], "names no GPUs"),
        (["serve", "m", "--gpus", "0,0"], "each one once"),
        (["serve", "m", "--gpu-memory-utilization", "7"], "no part of a GPU"),
        (["serve", "m", "--chat-template", "no.jinja"], "no such chat template"),
        (["serve", "m", "--python", "nowhere/python"], "no Python that can be run"),
        (["serve", "m", "--", "--api-key", "secret"], "cannot be passed on"),
        (["serve", "m", "--", "--api_key=secret"], "cannot be passed on"),
        (["serve", "m", "--", "--api-k", "secret"], "cannot be passed on"),
        (["serve", "m", "--", "--hos=0.0.0.0"], "cannot be passed on"),
        (["serve", "m", "--", "--config", "x.yaml"], "cannot be passed on"),
        (["serve", "m", "--served-name", "a b"], "cannot be asked for"),
        (["servers", "tset"], "unknown action"),
        (["stop"], "Name either a server"),
        (["stop", "nobody"], "unknown server"),
    ],
)
def test_what_cannot_be_meant_is_refused(machine: Path, line: list[str], said: str) -> None:
    """With a reason, exit code 2, and nothing started."""
    done = call(*line)
    assert done.code == 2
    assert said in done.err
    assert "secret" not in done.err
    assert children() == []


def test_without_vllm_the_error_says_how_to_get_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an environment of its own, and how to name that."""
    monkeypatch.delenv("ASSISTANTS_VLLM_PYTHON")
    monkeypatch.setenv("PATH", str(machine))
    done = call("serve", "good")
    assert done.code == 2
    assert "pip install vllm" in done.err
    assert "--python" in done.err


def test_servers_that_answer_otherwise_do_not_share_answers(machine: Path) -> None:
    """One name, other weights or another template: other keys; and they hold when it has ended."""
    assert connect("vllm:good").identity == "vllm:good"
    served("good")
    assert connect("vllm:good").identity == "vllm:good"
    call("stop", "good")
    (machine / "other.jinja").write_text("{{ messages }}")
    found = {"vllm:good"}
    for more in (
        ["--chat-template", "other.jinja"],
        ["--dtype", "float32"],
        ["--quantization", "fp8"],
        ["--", "--seed", "7"],
    ):
        served("good", *more)
        running_now = connect("vllm:good").identity
        call("stop", "good")
        assert connect("vllm:good").identity == running_now
        found.add(running_now)
    assert len(found) == 5
    served("good", "--", "--enforce-eager", "--max-num-seqs", "8")
    assert connect("vllm:good").identity == "vllm:good"


def test_a_server_that_was_replaced_is_another_model_to_whoever_knew_the_first(
    machine: Path,
) -> None:
    """An experiment that was read before: its next run asks the server that answers now."""
    trial = Trial(Case("a", ("Why?",)), Assistant(Persona("plain", None), connect("vllm:good")), 0)
    before = trial.key
    (machine / "other.jinja").write_text("{{ messages }}")
    served("good", "--chat-template", "other.jinja")
    other = trial.key
    assert other != before
    call("stop", "good")
    assert trial.key == other
    served("good")
    assert trial.key == before


def test_files_of_one_name_do_not_share_answers(here: Path) -> None:
    """A GGUF file is told by what is in it, not by what it is called or where it lies."""
    found = []
    for folder, content in (("a", b"GGUF 1"), ("b", b"GGUF 2"), ("c", b"GGUF 1")):
        (here / folder).mkdir()
        (here / folder / "m.gguf").write_bytes(content)
        found.append(LaunchOptions(f"{folder}/m.gguf").variant)
    assert found[0] == found[2] != found[1]
    assert all(found)


def test_models_of_one_last_name_do_not_share_answers(machine: Path) -> None:
    """Two organisations, one name: the first that was started here has it, the other its own."""
    found = {}
    for source in ("one/good", "other/good", "one/good", "other/good"):
        served(source)
        found.setdefault(source, set()).add(connect("vllm:good").identity)
        call("stop", "good")
    assert found["one/good"] == {"vllm:good"}
    assert len(found["other/good"]) == 1
    assert found["other/good"] != found["one/good"]
