"""A real vLLM on the CPU, started by ``assistants serve``, and the embedded model's own weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistants.clients import fetch_weights
from assistants.servers import as_safetensors
from support.vllm_serving import Machine, Served

pytest.register_assert_rewrite("conformance")


@pytest.fixture(scope="session")
def weights() -> Path:
    """SmolLM2 as safetensors in bfloat16; made once and kept in the cache."""
    fetch_weights("smollm2")
    return as_safetensors("smollm2", sys.executable)


@pytest.fixture(scope="session")
def machine(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """This machine, with a list of running servers of its own; none of them outlives the tests."""
    found = Machine(weights, tmp_path_factory.mktemp("machine"))
    yield found
    found.close()


@pytest.fixture(scope="session")
def server(machine: Machine) -> Served:
    """One server for all tests that leave it as it is."""
    return machine.serve("SmolLM2", "--trust-request-chat-template")


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
