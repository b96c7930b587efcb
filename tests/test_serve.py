"""Servers start one at a time, are found by name, are ended whole, and leave nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from commands import Done, call, run, start
from driver import install_driver
from published_configs import CONFIGS
from stand_in import python_with_vllm

from assistants.clients import connect, running
from assistants.clients.running import Entry
from assistants.errors import ServerUnreachable
from assistants.messages import Message, Sampling
from assistants.servers import ending, logs, measured, processes
from assistants.servers.gpus import GIB
from assistants.servers.observed import answers


@pytest.fixture
def machine(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine on which no server runs, with a Python whose vLLM is a stand-in."""
    monkeypatch.setenv("ASSISTANTS_CACHE", str(here / "cache"))
    monkeypatch.setenv("ASSISTANTS_VLLM_PYTHON", str(python_with_vllm(here)))
    others.clear()
    others.update(children())
    yield here
    for entry in running.entries():
        ending.end(entry)
    assert children() == [], "a test left processes behind"


KINDS = ("good", "slow", "never", "dies", "deaf", "beaten")
others: set[int] = set()
"""Processes that were there before the test began: somebody's own servers, perhaps."""


def children() -> list[int]:
    """Processes of the stand-in and their supervisors, wherever they hang now."""
    words = [f"api_server --model {kind} " for kind in KINDS]
    words += ["signal.signal(15, 1)", str(Path(processes.__file__).with_name("supervisor.py"))]
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and process.pid not in others and any(word in line for word in words):
                found.append(process.pid)
    return found


def served(model: str = "good", *more: str) -> tuple[Done, Entry]:
    """A server that stays, and what its start showed."""
    done = call("serve", model, "--detach", *more)
    assert done.code == 0, done.err
    return done, running.entries()[-1]


def said_by(model: str) -> str:
    """What a model answers."""

    async def ask() -> str:
        client = connect(model)
        try:
            return (await client.complete([Message("user", "Hello")], Sampling())).text
        finally:
            await client.aclose()

    return asyncio.run(ask())


def until(what: str, seen: object, seconds: float = 10.0) -> None:
    """Wait for something to become true."""
    ends = time.monotonic() + seconds
    while not seen():  # type: ignore[operator]
        assert time.monotonic() < ends, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.05)


def test_a_started_server_shows_where_it_is_and_what_fits(machine: Path) -> None:
    """The card: address, name, cache, and how many conversations of which length."""
    done, entry = served("good")
    assert f"{entry.url}/v1" in done.out
    assert "vllm:good" in done.out
    assert "4,096 tokens" in done.out
    assert "4 of 1,000 tokens" in done.out  # 63 blocks each, of 256
    assert "good: " in done.err
    assert entry.memory > 1_000_000


def test_the_key_is_nowhere_but_in_the_entry_that_only_its_owner_reads(machine: Path) -> None:
    """Not among arguments, on the screen, or in the log; files are closed to others."""
    done, entry = served("good")
    lines = [" ".join(psutil.Process(pid).cmdline()) for pid in children()]
    shown = "\n".join([*lines, done.out, done.err, Path(entry.log).read_text(), repr(entry)])
    assert not any(entry.key[i : i + 8] in shown for i in range(len(entry.key) - 8))
    for file in (*running.folder().glob("good.[jl]*"), Path(entry.log)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(running.folder().stat().st_mode) == 0o700


def test_other_keys_stay_at_home(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model server has no business with the key of another; the hub's token it may need."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-servers")
    monkeypatch.setenv("HF_TOKEN", "hf-for-servers")
    _, entry = served("good")
    given = psutil.Process(entry.group).environ()
    assert "OPENAI_API_KEY" not in given
    assert given["HF_TOKEN"] == "hf-for-servers"
    assert given["VLLM_NO_USAGE_STATS"] == "1"


def test_its_model_is_found_by_name(machine: Path) -> None:
    """``vllm:NAME`` is the running server of that name: no address and no key to copy."""
    served("good", "--served-name", "Other/Model-1")
    assert said_by("vllm:Other/Model-1") == "Other/Model-1 was asked Other/Model-1"


def test_an_address_in_the_environment_wins(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets VLLM_BASE_URL means it."""
    served("good")
    monkeypatch.setenv("VLLM_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9"):
        said_by("vllm:good")


def test_servers_are_listed_and_tested_and_ended(machine: Path) -> None:
    """What runs, what each answers, and how to end one or all."""
    served("good")
    served("good", "--served-name", "second")
    rows = json.loads(call("servers", "--json").out)["servers"]
    assert [(row["server"], row["health"], row["running"]) for row in rows] == [
        ("good", "ok", 0),
        ("second", "ok", 0),
    ]
    assert rows[0]["port"] != rows[1]["port"]
    tested = call("servers", "test")
    assert tested.code == 0
    assert "good was asked good" in tested.out
    assert "second was asked second" in tested.out
    assert call("stop", "vllm:second").code == 0
    assert [entry.name for entry in running.entries()] == ["good"]
    assert call("stop", "--all").code == 0
    assert running.entries() == []
    assert children() == []


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
    assert running.entries() == []
    assert children() == []


def test_a_server_that_does_not_answer_is_given_up(machine: Path) -> None:
    """After the time that was allowed, and nothing of it is left."""
    done = call("serve", "never", "--wait", "2")
    assert done.code == 1
    assert "did not answer within 2 s" in done.err
    assert children() == []


@pytest.mark.parametrize(
    ("model", "number"),
    [
        ("good", signal.SIGKILL),
        ("good", signal.SIGTERM),
        ("good", signal.SIGINT),
        ("deaf", signal.SIGKILL),
        ("never", signal.SIGKILL),
    ],
)
def test_nothing_is_left_when_the_starter_ends(
    machine: Path, model: str, number: signal.Signals
) -> None:
    """However it ends, while the server starts or when it has, its processes are gone in 5 s."""
    starter = start("serve", model, cwd=machine)
    until("the server's start", lambda: running.entries() and len(children()) >= 3)
    if model in ("good", "deaf"):
        until("the card", lambda: running.entries()[0].cache_tokens)
    starter.send_signal(number)
    starter.communicate(timeout=15)
    until("the end of all processes", lambda: not children(), 5.0)
    assert not any(running.alive(entry) for entry in running.entries())


def test_a_server_that_is_open_to_the_network_is_said_to_be(machine: Path) -> None:
    """With what its key does not guard; it is reached through loopback from here all the same."""
    done, entry = served("good", "--host", "0.0.0.0")
    assert "open to the network" in done.err
    assert entry.url.startswith("http://127.0.0.1:")
    assert "open to the network" not in served("good", "--served-name", "b")[0].err


def test_a_detached_server_outlives_its_starter(machine: Path) -> None:
    """With ``--detach`` it stays until it is ended."""
    done = run("serve", "good", "--detach", cwd=machine)
    assert done.code == 0, done.err
    time.sleep(1)
    assert json.loads(call("servers", "--json").out)["servers"][0]["health"] == "ok"


def test_a_dead_server_is_noticed_and_cleared_away(machine: Path) -> None:
    """Killed from outside: its supervisor ends the rest, and the list says that it is gone."""
    _, entry = served("good")
    os.kill(entry.group, signal.SIGKILL)
    until("the end of its children", lambda: not children(), 5.0)
    assert not running.alive(entry)
    assert "No server runs here" in call("servers").err


def test_a_killed_supervisor_leaves_no_server(machine: Path) -> None:
    """Not even its children, which hang on nothing any more: listing servers clears them away."""
    _, entry = served("good")
    os.kill(entry.supervisor, signal.SIGKILL)
    until("the supervisor's end", lambda: not running.alive(entry))
    assert "good is gone" in call("servers").err
    until("the end of its children", lambda: not children(), 5.0)


def test_the_foreground_says_when_a_server_ends(machine: Path) -> None:
    """Whoever waits is told, and the exit code says that it was not asked for."""
    starter = start("serve", "good", cwd=machine)
    until("the card", lambda: running.entries() and running.entries()[0].cache_tokens)
    os.kill(running.entries()[0].group, signal.SIGKILL)
    _, said = starter.communicate(timeout=15)
    assert starter.returncode == 1
    assert "good has ended" in said


def test_starts_take_turns(machine: Path) -> None:
    """Two commands at once: the second begins when the first one's server answers."""
    first = start("serve", "slow", "--detach", cwd=machine)
    until("the first start", running.entries)
    second = start("serve", "good", "--detach", cwd=machine)
    _, said = second.communicate(timeout=30)
    first.communicate(timeout=30)
    assert "waiting for another server's start" in said
    slow, good = running.entries()
    assert slow.cache_tokens
    assert good.started - slow.started > 1.5


def test_a_plan_without_gpus_starts_every_server_in_turn(machine: Path) -> None:
    """One file, two servers, options of vLLM's own passed on."""
    (machine / "servers.toml").write_text(
        '[servers.one]\nmodel = "good"\noptions = ["--enforce-eager"]\n'
        '[servers.two]\nmodel = "good"\ncontext = 512\n'
    )
    done = call("serve", "--plan", "servers.toml", "--detach")
    assert done.code == 0, done.err
    one, two = running.entries()
    assert (one.model, two.model) == ("one", "two")
    assert "--enforce-eager" in Path(one.log).read_text()
    assert "'--max-model-len', '512'" in Path(two.log).read_text()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["serve"], "Name a model"),
        (["serve", "m", "--plan", "x.toml"], "one of them"),
        (["serve", "--plan", "x.toml"], "there is no such file"),
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
        (["stop"], "Name a server"),
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


def test_a_damaged_entry_is_no_server(machine: Path) -> None:
    """What cannot be read is passed over; it stops nobody from starting."""
    served("good")
    whole = json.loads((running.folder() / "good.json").read_text())
    for name, text in {
        "a": "",
        "b": "[" * 5000,
        "c": json.dumps({**whole, "name": "../c"}),
        "d": json.dumps({**whole, "name": "d", "supervisor": "1"}),
        "e": json.dumps({**whole, "name": "e", "url": "file:///etc/passwd"}),
    }.items():
        (running.folder() / f"{name}.json").write_text(text)
    assert [each.name for each in running.entries()] == ["good"]


def test_a_number_that_was_given_out_again_is_not_killed(machine: Path) -> None:
    """Only a Python of a session of this day counts as what is left of a server."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        assert processes.of_session(other.pid, time.time()) == []
        other.kill()
    line = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(line, start_new_session=True) as other:
        until("its start", lambda: processes.of_session(other.pid, time.time()) == [other.pid])
        assert processes.of_session(other.pid, 1.0) == []  # before this machine was started
        assert processes.of_session(other.pid, time.time() - 600) == []  # somebody else's
        other.kill()


def test_another_server_at_its_port_is_not_taken_for_it(machine: Path) -> None:
    """Who does not take its key, or does not know its model, is somebody else."""
    _, entry = served("good")
    other = replace(entry, model="other")
    stranger = replace(entry, key="k" * 32)
    assert asyncio.run(answers(entry))
    assert not asyncio.run(answers(other))
    assert not asyncio.run(answers(stranger))


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


def test_an_address_of_the_users_file_wins(machine: Path) -> None:
    """Whoever says where vllm: is, means it, whatever runs here."""
    served("good")
    Path("models.toml").write_text('[providers.vllm]\naddress = "http://127.0.0.1:9/v1"\n')
    with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9"):
        said_by("vllm:good")


def test_a_name_whose_last_server_still_ends_is_refused_and_waits_for_nothing(
    machine: Path,
) -> None:
    """Its entry is gone and its supervisor lives: said within seconds, by name."""
    _, entry = served("good")
    (running.folder() / "good.json").unlink()
    begun = time.monotonic()
    done = call("serve", "good", "--detach")
    assert done.code == 1
    assert "has not ended yet" in done.err
    assert time.monotonic() - begun < 10
    running.write(entry)


def test_ctrl_c_while_starting_ends_it_at_once(machine: Path) -> None:
    """The prompt is back within seconds and the exit code is that of an interrupt."""
    starter = start("serve", "never", cwd=machine)
    until("the server's start", lambda: len(children()) >= 3)
    begun = time.monotonic()
    until("its first words", lambda: "never" in logs.tail(running.folder() / "../logs/never.log"))
    starter.send_signal(signal.SIGINT)
    _, said = starter.communicate(timeout=15)
    assert time.monotonic() - begun < 6
    assert starter.returncode == 130
    assert not re.search("Traceback", said)


class Gpu:
    """A GPU of 22 GiB, of which a running server takes 5."""

    name, total, broken = "NVIDIA L4", 22 * GIB, False

    @property
    def free(self) -> int:
        return self.total - (5 * GIB if children() else 0)


def test_what_it_took_of_a_gpu_is_measured(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no GPU was named; starts take turns, so the difference is this server's."""
    install_driver(monkeypatch, [Gpu()])
    done, entry = served("good")
    assert entry.memory == 5 * GIB
    assert "5.0 GiB" in done.out


def test_predicted_and_measured_stand_side_by_side(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a start that was planned; what was measured is kept and corrects the next plan."""
    install_driver(monkeypatch, [Gpu()])
    Path("gemma.json").write_text(json.dumps(CONFIGS["gemma-3-1b"][1]))
    Path("servers.toml").write_text('[servers.one]\nmodel = "good"\nconfig = "gemma.json"\n')
    done = call("serve", "--plan", "servers.toml", "--detach")
    assert done.code == 0, done.err
    assert "predicted and measured" in done.out
    (known,) = measured.load()
    assert (known.model, known.gpu, known.memory) == ("one", "NVIDIA L4", 5 * GIB)
    assert known.cache_tokens == 4096
    assert running.entries()[0].gpus == (0,)
    call("stop", "--all")
    again = json.loads(call("plan", "servers.toml", "--json").out)["servers"][0]
    assert again["measured_cache_tokens"] == 4096
