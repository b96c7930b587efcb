"""Offline models: vLLM without a server, for a machine whose one job is a big run.

vLLM's engine and vLLM's own request handling run in a process of ours (``offline_worker``), reached
through a pipe. Hundreds of calls may be in flight, and the engine batches them as they come. What
a request means is what it means to ``vllm serve`` with the same options: the same code answers it.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from assistants.clients.openai.client import OpenAIClient
from assistants.clients.openai.request import Timeouts
from assistants.clients.vllm import engine_options
from assistants.clients.vllm import weights as offline_weights
from assistants.clients.vllm.interpreter import VARIABLE, vllm_python
from assistants.errors import UsageError
from assistants.utils.threads import run_in_daemon_thread
from assistants.utils.urls import Address

if TYPE_CHECKING:
    import openai

    from assistants.clients.vllm.offline_process import EngineProcess

IN_FLIGHT = 256
"""Calls at once. vLLM works on as many as fit its memory together and lets the rest wait."""

LINGER_S = 120.0
"""Seconds that a model stays loaded once the last client of it is closed: a start takes a minute
or more, and what comes after a run is often another one. ``stop`` ends it at once."""

_DEADLINES = Timeouts(first_token=600.0, idle=600.0, total=3600.0)
"""Longer than a server's: with hundreds in flight, a call waits its turn inside the engine."""


def offline_client(model: str, folder: str | Path = "") -> OfflineClient:
    """A client for weights that vLLM can load. Nothing starts before its first call.

    The first call starts vLLM, which takes one to several minutes and most of the GPU's memory;
    clients of the same weights share it. ``VLLM_OFFLINE_ARGS`` holds options for it, written as
    for ``vllm serve``; ``CUDA_VISIBLE_DEVICES`` chooses the GPUs.

    Parameters
    ----------
    model
        A folder with weights, or a Hugging Face name that is in the local cache already.
    folder
        What a relative path is relative to.

    Raises
    ------
    UsageError
        If there are no such weights here, or the options are wrong.
    """
    weights = offline_weights.located(model, Path(folder))
    return OfflineClient(model, weights, engine_options.options_from_environment(), _python())


class OfflineClient(OpenAIClient):
    """A model in a vLLM of our own; see ``offline_client``.

    Its identity is made of the weights and of the options that may change an answer, not of where
    they lie: the same weights elsewhere share answers, and a server's answers are not shared.
    """

    def __init__(self, model: str, weights: Path, options: tuple[str, ...], python: str) -> None:
        facts = [
            offline_weights.digest(weights)[:16],
            *engine_options.answer_affecting_options(options),
        ]
        super().__init__(
            f"vllm-offline:{model}",
            endpoint=_nowhere,
            identity=f"vllm-offline@{' '.join(facts)}",
            max_concurrency=IN_FLIGHT,
            timeouts=_DEADLINES,
        )
        # What vLLM calls the model, and so what answers say: never a path on this machine.
        self._served = weights.name if weights.parent.name != "snapshots" else model
        self._wanted = (str(weights), options, python, self._served)
        self._pipe: tuple[EngineProcess, openai.AsyncOpenAI] | None = None
        self._waiting = 0

    async def aclose(self) -> None:
        """Let go of the model: it ends when no client has used it for ``LINGER_S``."""
        self._pipe = None
        _release(self, self._wanted)

    def left(self) -> None:
        """A start is done that nobody waited for to its end: let go, unless another call did."""
        if self._pipe is None and not self._waiting:
            _release(self, self._wanted)

    async def _sdk(self) -> openai.AsyncOpenAI:
        process = _taken(self, self._wanted)
        if process is None:
            self._waiting += 1
            try:
                process = await run_in_daemon_thread(
                    lambda: _started(self, self.model, self._wanted),
                    f"start {self.model}",
                    on_abandoned=self.left,
                )
            finally:
                self._waiting -= 1
        if self._pipe is None or self._pipe[0] is not process:
            from assistants.clients.vllm.offline_pipe import build_sdk

            self._pipe = (process, build_sdk(self.model, process))
        return self._pipe[1]


def _python() -> str:
    """The one that ``assistants serve`` takes; without any, one whose start says what it lacks."""
    try:
        return vllm_python()
    except UsageError:  # a client is built without vLLM, for answers that are stored
        named = os.environ.get(VARIABLE, "").strip() or sys.executable
        return str(Path(named).expanduser())


async def _nowhere() -> Address:
    raise UsageError("An offline model has no address.")


_Wanted = tuple[str, tuple[str, ...], str, str]
"""Weights, options, Python, and what the model is called in replies."""


class _Running:
    """A process, and who uses it."""

    def __init__(self, process: EngineProcess) -> None:
        self.process = process
        self.users: weakref.WeakSet[OfflineClient] = weakref.WeakSet()
        self.end: threading.Timer | None = None


_running: dict[_Wanted, _Running] = {}
_starting = threading.Lock()
_users = threading.Lock()


def stop() -> None:
    """End every offline model of this process now. The next call starts anew."""
    # A start that is under way is not waited for: it ends when this process does.
    while _running:
        with suppress(KeyError):  # its time was up just now
            running = _running.popitem()[1]
            if running.end is not None:
                running.end.cancel()
            running.process.stop()


def _taken(client: OfflineClient, wanted: _Wanted) -> EngineProcess | None:
    """The process that runs already, from now on used by ``client``."""
    with _users:
        running = _running.get(wanted)
        if running is None or not running.process.alive:
            return None
        if running.end is not None:
            running.end.cancel()
            running.end = None
        running.users.add(client)
        return running.process


def _release(client: OfflineClient, wanted: _Wanted) -> None:
    with _users:
        running = _running.get(wanted)
        if running is None or client not in running.users:
            return
        running.users.discard(client)
        if running.users:
            return
        if LINGER_S > 0:
            running.end = threading.Timer(LINGER_S, _end_unused, (wanted, running))
            running.end.daemon = True
            running.end.start()
            return
    _end_unused(wanted, running)


def _end_unused(wanted: _Wanted, running: _Running) -> None:
    with _users:
        if _running.get(wanted) is not running or running.users:
            return
        del _running[wanted]
    running.process.stop()


def _started(client: OfflineClient, name: str, wanted: _Wanted) -> EngineProcess:
    """One start at a time: two at once would each count the memory that the other takes."""
    from assistants.clients.vllm.offline_process import EngineProcess

    with _starting:
        process = _taken(client, wanted)
        if process is not None:
            return process
        if (dead := _running.pop(wanted, None)) is not None:
            dead.process.stop()
        weights, options, python, served = wanted
        program = str(Path(__file__).with_name("offline_worker.py"))
        order: dict[str, object] = {
            "model": weights,
            "argv": [*options, "--served-model-name", served],
        }
        process = EngineProcess(name, [python, "-P", program], order)
        _running[wanted] = running = _Running(process)
        running.users.add(client)
        return process


def _forget() -> None:
    """After a fork: the processes are our parent's, and so is whoever held the lock."""
    global _starting, _users
    _starting, _users = threading.Lock(), threading.Lock()
    for running in _running.values():
        running.process.let_go()
    _running.clear()


atexit.register(stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
