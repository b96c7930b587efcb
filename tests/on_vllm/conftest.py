"""A real vLLM on the CPU, started by ``assistants serve``, and the embedded model's own weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistants.clients import fetch_weights
from assistants.clients.vllm import offline_client
from assistants.servers import as_safetensors
from support.template_server import TEMPLATES
from support.vllm_serving import Machine, Served

OPTIONS = "--max-model-len 2048 --dtype bfloat16 --enforce-eager"
"""Of the private server; compiling would take minutes."""


@pytest.fixture(scope="session")
def weights() -> Path:
    """SmolLM2 as safetensors in bfloat16; made once and kept in the cache."""
    fetch_weights("smollm2")
    return as_safetensors("smollm2", sys.executable)


@pytest.fixture(scope="session")
def machine(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with a list of running servers of its own; none of them outlives the tests."""
    found = Machine(weights, tmp_path_factory.mktemp("machine"))
    yield found
    found.close()


@pytest.fixture(scope="session")
def server(machine: Machine) -> Served:
    """A server for all tests that leave it as it is; chat templates may come with a request."""
    return machine.serve("SmolLM2", "--trust-request-chat-template")


@pytest.fixture(scope="session")
def exact(machine: Machine) -> Served:
    """A second one, in 32 bits and with a chat template from a file; its last test ends it."""
    return machine.serve("exact", template=TEMPLATES / "chatml.jinja", dtype="float32")


@pytest.fixture(scope="session")
def private(weights: Path) -> Iterator[Path]:
    """The weights of offline models, whose tests share one start; its last test ends it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_OFFLINE_ARGS", OPTIONS)
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setattr(offline_client, "LINGER_S", 3600.0)
        yield weights
    offline_client.stop()


@pytest.fixture(autouse=True)
def here(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, from which servers are found as users find them: by name, in their list."""
    for name in ("VLLM_BASE_URL", "VLLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.chdir(tmp_path)
    if "machine" in request.fixturenames:
        machine: Machine = request.getfixturevalue("machine")
        for name, value in machine.environment.items():
            monkeypatch.setenv(name, value)
    return tmp_path
