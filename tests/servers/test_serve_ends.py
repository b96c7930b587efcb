"""Servers that run are listed and tested; whoever ends them, and however, nothing is left."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from assistants.clients import registry
from assistants.servers import logs, processes
from assistants.servers.health import is_healthy
from support.commands import call, run, start
from support.server_machine import children, machine_at, served, until


@pytest.fixture
def machine(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with machine_at(here, monkeypatch) as ready:
        yield ready


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
    assert [entry.name for entry in registry.records()] == ["good"]
    assert call("stop", "--all").code == 0
    assert registry.records() == []
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
    """However it ends, while the server starts or when it has, its processes are gone."""
    starter = start("serve", model, cwd=machine)
    until("the server's start", lambda: registry.records() and len(children()) >= 3)
    if model in ("good", "deaf"):
        until("the card", lambda: registry.records()[0].cache_tokens)
    starter.send_signal(number)
    starter.communicate(timeout=60)
    until("the end of all processes", lambda: not children(), 30)
    assert not any(registry.is_alive(entry) for entry in registry.records())


def test_a_detached_server_outlives_its_starter(machine: Path) -> None:
    """With ``--detach`` it stays until it is ended."""
    done = run("serve", "good", "--detach", cwd=machine)
    assert done.code == 0, done.err
    time.sleep(0.6)  # a supervisor looks every 0.2 s whether its starter lives
    assert json.loads(call("servers", "--json").out)["servers"][0]["health"] == "ok"


def test_a_dead_server_is_noticed_and_cleared_away(machine: Path) -> None:
    """Killed from outside: its supervisor ends the rest, and the list says that it is gone."""
    _, entry = served("good")
    os.kill(entry.group, signal.SIGKILL)
    until("the end of its children", lambda: not children(), 30)
    assert not registry.is_alive(entry)
    assert "No server runs here" in call("servers").err


def test_a_killed_supervisor_leaves_no_server(machine: Path) -> None:
    """Not even its children, which hang on nothing any more: listing servers clears them away."""
    _, entry = served("good")
    os.kill(entry.supervisor, signal.SIGKILL)
    until("the supervisor's end", lambda: not registry.is_alive(entry))
    assert "good is gone" in call("servers").err
    until("the end of its children", lambda: not children(), 30)


def test_the_foreground_says_when_a_server_ends(machine: Path) -> None:
    """Whoever waits is told, and the exit code says that it was not asked for."""
    starter = start("serve", "good", cwd=machine)
    until("the card", lambda: registry.records() and registry.records()[0].cache_tokens)
    os.kill(registry.records()[0].group, signal.SIGKILL)
    _, said = starter.communicate(timeout=60)
    assert starter.returncode == 1
    assert "good has ended" in said


def test_ctrl_c_while_starting_ends_it_at_once(machine: Path) -> None:
    """The prompt is back within seconds and the exit code is that of an interrupt."""
    starter = start("serve", "never", cwd=machine)
    until("the server's start", lambda: len(children()) >= 3)
    until(
        "its first words",
        lambda: "never" in logs.read_tail(registry.folder() / "../logs/never.log"),
    )
    starter.send_signal(signal.SIGINT)
    _, said = starter.communicate(timeout=60)
    assert starter.returncode == 130
    assert not re.search("Traceback", said)


def test_a_name_whose_last_server_still_ends_is_refused_and_waits_for_nothing(
    machine: Path,
) -> None:
    """Its entry is gone and its supervisor lives: said within seconds, by name."""
    _, entry = served("good")
    (registry.folder() / "good.json").unlink()
    done = call("serve", "good", "--detach")
    assert done.code == 1
    assert "has not ended yet" in done.err
    registry.write(entry)


def test_a_damaged_entry_is_no_server(machine: Path) -> None:
    """What cannot be read is passed over; it stops nobody from starting."""
    served("good")
    whole = json.loads((registry.folder() / "good.json").read_text())
    for name, text in {
        "a": "",
        "b": "[" * 5000,
        "c": json.dumps({**whole, "name": "../c"}),
        "d": json.dumps({**whole, "name": "d", "supervisor": "1"}),
        "e": json.dumps({**whole, "name": "e", "url": "file:///etc/passwd"}),
    }.items():
        (registry.folder() / f"{name}.json").write_text(text)
    assert [each.name for each in registry.records()] == ["good"]


def test_a_number_that_was_given_out_again_is_not_killed(machine: Path) -> None:
    """Only a Python of a session of this day counts as what is left of a server."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        assert processes.session_processes(other.pid, time.time()) == []
        other.kill()
    line = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(line, start_new_session=True) as other:
        until(
            "its start", lambda: processes.session_processes(other.pid, time.time()) == [other.pid]
        )
        assert processes.session_processes(other.pid, 1.0) == []  # before this machine was started
        assert processes.session_processes(other.pid, time.time() - 600) == []  # somebody else's
        other.kill()


def test_another_server_at_its_port_is_not_taken_for_it(machine: Path) -> None:
    """Who does not take its key, or does not know its model, is somebody else."""
    _, entry = served("good")
    other = replace(entry, model="other")
    stranger = replace(entry, key="k" * 32)
    assert asyncio.run(is_healthy(entry))
    assert not asyncio.run(is_healthy(other))
    assert not asyncio.run(is_healthy(stranger))
