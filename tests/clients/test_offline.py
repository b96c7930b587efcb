"""Offline models: vLLM found, started, and told of what goes wrong.

The server with vLLM is a stand-in here (``fake_vllm``); ``tests/on_vllm`` has the real one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from assistants.clients import connect
from assistants.clients.vllm.interpreter import VARIABLE
from assistants.clients.vllm.offline_client import OfflineClient, offline_client
from assistants.errors import CallError, MissingDependencyError, ServerUnreachableError
from support.fake_vllm import fake_weights
from support.faulty_server import FaultyServer
from support.offline_engine import HI, PLAIN, Open, clients_closed_after, machine_at, running


@pytest.fixture(autouse=True)
def machine(here: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with machine_at(here, monkeypatch) as folder:
        yield folder


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    async with clients_closed_after() as build:
        yield build


@pytest.fixture
def smol(machine: Path, server: FaultyServer) -> Path:
    return fake_weights(machine / "smol", forward=server.url, engine=True)


def test_building_costs_nothing(smol: Path) -> None:
    """A client has its name and identity before anything is started or imported."""
    code = f"""
        import sys
        from assistants.clients import connect
        client = connect("vllm-offline:smol", folder={str(smol.parent)!r})
        print(client.model, client.max_concurrency)
        print(sorted({{"vllm", "torch", "openai"}} & set(sys.modules)))
        from assistants.clients.vllm import offline_client
        print(offline_client._running)
    """
    said = subprocess.check_output([sys.executable, "-c", textwrap.dedent(code)], text=True)
    assert said.splitlines() == ["vllm-offline:smol 256", "[]", "{}"]


async def test_it_answers(smol: Path) -> None:
    """A call starts the process and gets an answer that names the model, but no path."""
    client = connect(f"vllm-offline:{smol}")
    completion = await client.complete(HI, PLAIN)
    await client.aclose()
    assert (completion.status, completion.served_model) == ("ok", "smol")
    assert '"Be."' in completion.text


async def test_a_python_without_vllm(
    smol: Path, here: Path, monkeypatch: pytest.MonkeyPatch, opened: Open
) -> None:
    """Without vLLM the error says how to get it, and how to keep its pins away."""
    bare = here / "bare"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(bare))
    with pytest.raises(MissingDependencyError) as caught:
        await opened("smol").complete(HI, PLAIN)
    assert caught.value.message.startswith("vllm-offline:smol")
    assert "~/vllm/bin/pip install vllm" in caught.value.fix
    assert VARIABLE in caught.value.fix


async def test_a_python_that_is_none(
    smol: Path, monkeypatch: pytest.MonkeyPatch, opened: Open
) -> None:
    """A wrong name for the Python is told as such."""
    monkeypatch.setenv(VARIABLE, "/nowhere/python")
    with pytest.raises(MissingDependencyError, match="no Python that can be run"):
        await opened("smol").complete(HI, PLAIN)


async def test_the_python_of_the_vllm_command(
    smol: Path, here: Path, monkeypatch: pytest.MonkeyPatch, opened: Open
) -> None:
    """Unless one is named, it is the one that `assistants serve` finds."""
    monkeypatch.delenv(VARIABLE)
    command = here / "bin" / "vllm"
    command.parent.mkdir()
    command.write_text(f"#!{here / 'python'}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    assert (await opened("smol").complete(HI, PLAIN)).status == "ok"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            "(EngineCore pid=1) ERROR ValueError: no memory for the cache\n"
            "RuntimeError: Engine core initialization failed. See root cause above.",
            "ValueError: no memory for the cache",
        ),
        (
            "ValidationError: 1 validation error for ModelConfig\n"
            "  Value error, User-specified max_model_len (9) is greater [type=value_error]\n"
            "    For further information visit its page",
            "Value error, User-specified max_model_len (9)",
        ),
        ("api_server.py: error: unrecognized arguments: --x", "unrecognized arguments: --x"),
        ("", "without a word"),
    ],
)
async def test_a_start_that_fails(here: Path, log: str, words: str, opened: Open) -> None:
    """The error has the last words of the log, and the log itself is kept."""
    fake_weights(here / "bad", say=log, engine=True)
    with pytest.raises(ServerUnreachableError) as caught:
        await opened("bad").complete(HI, PLAIN)
    assert words in caught.value.message
    names = re.findall(r"is (\S+\.log)\.", caught.value.fix)
    assert [Path(name).read_text().strip() for name in names] == ([log] if log else [])
    for name in names:
        Path(name).unlink()


async def test_a_rejected_request(here: Path, server: FaultyServer, opened: Open) -> None:
    """What vLLM refuses is the same typed error as from a server."""
    fake_weights(here / "rude", forward=server.url_of("400"))
    with pytest.raises(CallError) as caught:
        await opened("rude").complete(HI, PLAIN)
    assert not caught.value.retryable


async def test_its_environment_has_no_keys(
    smol: Path, monkeypatch: pytest.MonkeyPatch, opened: Open
) -> None:
    """The process knows no key, fetches nothing and reports to nobody."""
    for name in ("OPENAI_API_KEY", "OPENAI_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "sk-secret-0123456789")
    await opened("smol").complete(HI, PLAIN)
    environment = psutil.Process(running().pid).environ()
    assert not any("sk-secret" in value for value in environment.values())
    assert environment["HF_HUB_OFFLINE"] == environment["VLLM_NO_USAGE_STATS"] == "1"


def test_a_client_is_shown_by_its_model(smol: Path) -> None:
    """Its repr names the model."""
    assert isinstance(offline_client("smol"), OfflineClient)
    assert repr(offline_client("smol")) == "OfflineClient('vllm-offline:smol')"
