"""A run in a notebook's kernel: the prompt comes back, and nothing that was answered is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from assistants import Results
from support.faulty_server import FaultyServer

START = """
from assistants import Experiment
experiment = Experiment.define(
    "slow", personas=["none"], models=["vllm:slow"], cases=["How are you?"], repeats=200,
    concurrency=4,
)
"""


def asked_of(server: FaultyServer) -> int:
    """How many questions it was asked."""
    return sum(request.path.endswith("/chat/completions") for request in list(server.requests))


@pytest.fixture
def kernel(here: Path) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """Start a real ipykernel, as JupyterLab would."""
    manager, client = start_new_kernel(kernel_name="python3")
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_an_interrupt_gives_the_prompt_back_and_keeps_every_answer(
    kernel: tuple[KernelManager, BlockingKernelClient], here: Path
) -> None:
    """The cell ends in an error before all is asked, and the next run asks only for the rest."""
    manager, client = kernel
    with FaultyServer(latency=0.05) as server:
        client.execute_interactive(
            f"import os; os.environ['VLLM_BASE_URL'] = {server.url!r}\n{START}", timeout=60
        )
        client.execute("run = await experiment.run()")
        while asked_of(server) < 20:
            time.sleep(0.01)
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=60)
        assert reply["content"]["status"] == "error"
        time.sleep(0.3)
        asked = asked_of(server)
        time.sleep(0.3)
        assert asked_of(server) == asked, "a task went on asking after the interrupt"
        kept = Results(here / "results").latest("slow")
        assert kept.outcome == "interrupted"
        answered = kept.statuses()["ok"]
        assert answered >= 16
        client.execute_interactive("run = await experiment.run()", timeout=120)
        assert asked_of(server) == asked + 200 - answered
    assert Results(here / "results").latest("slow").statuses() == {"ok": 200}
