"""Who may ask a server: its key is random or the user's own, and lies in one place only."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from assistants.clients import ServerRecord, registry
from assistants.servers import serve
from assistants.utils.api_keys import MIN_SECRET_CHARS
from support.commands import Done, call
from support.server_machine import children, machine_at, said_by, served

KEY = "mine-Zq7Xw2Vt9Rb4Lm6Np1Hc8Kd3"


@pytest.fixture
def machine(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with machine_at(here, monkeypatch) as ready:
        yield ready


def is_shown(key: str, *texts: str) -> bool:
    """Whether so much of a key stands anywhere that it would be redacted."""
    pieces = [key[i : i + MIN_SECRET_CHARS] for i in range(len(key) - MIN_SECRET_CHARS + 1)]
    return any(piece in text for text in texts for piece in pieces)


def everywhere(done: Done, entry: ServerRecord) -> list[str]:
    """Arguments, the screen, the log, and what a person prints of it."""
    lines = [" ".join(psutil.Process(pid).cmdline()) for pid in children()]
    return [*lines, done.out, done.err, Path(entry.log).read_text(), repr(entry)]


def test_the_key_is_nowhere_but_in_the_entry_that_only_its_owner_reads(machine: Path) -> None:
    """Not among arguments, on the screen, or in the log; files are closed to others."""
    done, entry = served("good")
    assert len(entry.key) >= 32
    assert not is_shown(entry.key, *everywhere(done, entry))
    for file in (*registry.folder().glob("good.[jl]*"), Path(entry.log)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(registry.folder().stat().st_mode) == 0o700


def test_its_key_may_be_ones_own(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from the variable that is named: found here by name, in no argument, on no screen."""
    monkeypatch.setenv("SERVER_API_KEY", f"{KEY}\n")
    done, entry = served("good", "--key-from", "SERVER_API_KEY")
    assert said_by("vllm:good") == "good was asked good"
    assert entry.key == KEY
    assert not is_shown(KEY, *everywhere(done, entry))
    assert stat.S_IMODE((registry.folder() / "good.json").stat().st_mode) == 0o600
    given = psutil.Process(entry.group).environ()
    assert [name for name, value in given.items() if KEY in value] == ["VLLM_API_KEY"]
    died = call("serve", "dies", "--key-from", "SERVER_API_KEY")  # its log repeats its key
    assert "[redacted]" in died.err
    assert not is_shown(KEY, died.out, died.err)


def test_a_supervisor_gets_what_a_python_needs_to_start(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its libraries are, and no more of the environment: no key of any kind."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(machine))
    monkeypatch.setenv("SERVER_API_KEY", KEY)
    _, entry = served("good", "--key-from", "SERVER_API_KEY")
    given = psutil.Process(entry.supervisor).environ()
    assert given["LD_LIBRARY_PATH"] == str(machine)
    assert set(given) <= {"PATH", "LD_LIBRARY_PATH", "LC_CTYPE"}


def test_servers_of_a_file_share_ones_own_key(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who starts them names the variable; a file that came with somebody's project cannot."""
    monkeypatch.setenv("SERVER_API_KEY", KEY)
    file = machine / "servers.toml"
    file.write_text('[servers.one]\nmodel = "good"\n[servers.two]\nmodel = "good"\n')
    done = call("serve", "--plan", "servers.toml", "--key-from", "SERVER_API_KEY", "--detach")
    assert done.code == 0, done.err
    assert [entry.key for entry in registry.records()] == [KEY, KEY]
    file.write_text('[servers.one]\nmodel = "good"\nkey_from = "OPENAI_API_KEY"\n')
    assert "unknown key 'key_from'" in call("serve", "--plan", "servers.toml").err


async def test_a_notebook_may_name_the_key_too(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``serve(..., key_from=...)``; what the notebook shows of the server does not have it."""
    monkeypatch.setenv("SERVER_API_KEY", KEY)
    server = await serve("good", key_from="SERVER_API_KEY", report=lambda _: None)
    assert server.record.key == KEY
    assert not is_shown(KEY, repr(server), server._repr_html_())
    await server.stop()


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (None, "There is no key in SERVER_API_KEY"),
        (" \n", "There is no key in SERVER_API_KEY"),
        ("short7c", "What SERVER_API_KEY holds is no key"),
        ("two words", "What SERVER_API_KEY holds is no key"),
        ("schlüssel", "What SERVER_API_KEY holds is no key"),
        ("line\nbreak", "What SERVER_API_KEY holds is no key"),
    ],
)
def test_what_can_be_no_key_is_refused(
    machine: Path, monkeypatch: pytest.MonkeyPatch, held: str | None, said: str
) -> None:
    """By the name of its variable, before anything is started, and without repeating it."""
    if held is not None:
        monkeypatch.setenv("SERVER_API_KEY", held)
    done = call("serve", "good", "--key-from", "SERVER_API_KEY")
    assert done.code == 2
    assert said in done.err
    assert not held or not held.strip() or held not in done.err
    assert registry.records() == []


@pytest.mark.parametrize("given", ["sk-live-1234567890", "sk_live_1234567890", "A=B", ""])
def test_a_key_in_place_of_a_name_is_refused_and_not_repeated(machine: Path, given: str) -> None:
    """Whoever takes ``--key-from`` for ``--api-key`` reads the difference, and not the key."""
    done = call("serve", "good", "--key-from", given)
    assert done.code == 2
    assert "never the key itself" in done.err
    assert not given or given not in done.err


def test_other_keys_stay_at_home(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model server has no business with the key of another; the hub's token it may need."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-servers")
    monkeypatch.setenv("HF_TOKEN", "hf-for-servers")
    _, entry = served("good")
    given = psutil.Process(entry.group).environ()
    assert "OPENAI_API_KEY" not in given
    assert given["HF_TOKEN"] == "hf-for-servers"
    assert given["VLLM_NO_USAGE_STATS"] == "1"


def test_a_server_that_is_open_to_the_network_is_said_to_be(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what its key does not guard, and where that lies for those who ask from elsewhere."""
    monkeypatch.setenv("HOME", str(machine))
    done, entry = served("good", "--host", "0.0.0.0")
    assert "open to the network" in done.err
    place = done.err.partition("stored in ~/")[2].partition(",")[0]
    assert entry.key in (machine / place).read_text()
    assert not is_shown(entry.key, done.err)
    assert entry.url.startswith("http://127.0.0.1:")
    assert "open to the network" not in served("good", "--served-name", "b")[0].err
