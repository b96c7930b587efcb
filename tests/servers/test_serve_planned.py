"""Servers that a file names start as planned; what they took stands beside what was predicted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistants.clients import registry
from assistants.servers import GIB, load_measurements
from support.commands import call
from support.fake_nvml import install_driver
from support.published_configs import CONFIGS
from support.server_machine import children, machine_at, served


@pytest.fixture
def machine(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with machine_at(here, monkeypatch) as ready:
        yield ready


def test_a_plan_without_gpus_starts_every_server_in_turn(machine: Path) -> None:
    """One file, two servers, options of vLLM's own passed on."""
    (machine / "servers.toml").write_text(
        '[servers.one]\nmodel = "good"\noptions = ["--enforce-eager"]\n'
        '[servers.two]\nmodel = "good"\ncontext = 512\n'
    )
    done = call("serve", "--plan", "servers.toml", "--detach")
    assert done.code == 0, done.err
    one, two = registry.records()
    assert (one.model, two.model) == ("one", "two")
    assert "--enforce-eager" in Path(one.log).read_text()
    assert "'--max-model-len', '512'" in Path(two.log).read_text()


class Gpu:
    """A GPU of 22 GiB, of which a running server takes 5."""

    name, total, broken, divided = "NVIDIA L4", 22 * GIB, False, None

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
    """After a start that was planned; what was measured is kept and shown with the next plan."""
    install_driver(monkeypatch, [Gpu()])
    Path("gemma.json").write_text(json.dumps(CONFIGS["gemma-3-1b"][1]))
    Path("servers.toml").write_text('[servers.one]\nmodel = "good"\nconfig = "gemma.json"\n')
    done = call("serve", "--plan", "servers.toml", "--detach")
    assert done.code == 0, done.err
    assert "predicted and measured" in done.out
    (known,) = load_measurements()
    assert (known.model, known.gpu, known.memory) == ("one", "NVIDIA L4", 5 * GIB)
    assert known.cache_tokens == 4096
    assert registry.records()[0].gpus == (0,)
    call("stop", "--all")
    again = json.loads(call("plan", "servers.toml", "--json").out)["servers"][0]
    assert again["measured_cache_tokens"] == 4096


def test_gpus_that_a_file_imagines_are_not_those_of_a_start(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are for ``assistants plan``; what starts needs the room that is there, and says so."""
    Path("gemma.json").write_text(json.dumps(CONFIGS["gemma-3-1b"][1]))
    text = '[servers.one]\nmodel = "good"\nconfig = "gemma.json"\n'
    Path("servers.toml").write_text(f'gpus = "2x80GiB"\n{text}')
    install_driver(monkeypatch, [Gpu()])
    done = call("serve", "--plan", "servers.toml", "--detach")
    assert done.code == 0, done.err
    assert "servers.toml plans for 2x80GiB" in done.err
    (known,) = load_measurements()
    assert known.gpu == "NVIDIA L4"
    call("stop", "--all")
    install_driver(monkeypatch, [])
    assert call("serve", "--plan", "servers.toml", "--detach").code == 0
    assert registry.records()[0].gpus == ()


@pytest.mark.parametrize(
    "line",
    [
        ["good"],
        ["good", "--", "--kv-cache-dtype", "fp8"],
        ["--plan", "servers.toml"],  # with an option of its own
    ],
)
def test_a_start_with_other_options_than_a_plans_is_not_kept(
    machine: Path, monkeypatch: pytest.MonkeyPatch, line: list[str]
) -> None:
    """Its memory is that of its options: it is shown beside the prediction, and not kept."""
    install_driver(monkeypatch, [Gpu()])
    (machine / "good").mkdir()
    (machine / "good" / "config.json").write_text(json.dumps(CONFIGS["gemma-3-1b"][1]))
    Path("servers.toml").write_text(
        '[servers.good]\nmodel = "good"\noptions = ["--enforce-eager"]\n'
    )
    before = call("plan", "servers.toml", "--json").out
    done = call("serve", "--detach", *line)
    assert done.code == 0, done.err
    assert "predicted and measured" in done.out
    call("stop", "--all")
    assert load_measurements() == ()
    assert call("plan", "servers.toml", "--json").out == before
