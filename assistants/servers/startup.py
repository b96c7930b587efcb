"""Starting a server: one at a time, watched until it answers, gone again if it does not."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assistants.clients import ServerRecord, registry, vllm_python
from assistants.errors import ServerStartError, UsageError
from assistants.servers import logs, processes
from assistants.servers.gguf_conversion import as_safetensors, is_embedded
from assistants.servers.gpus import find_gpus
from assistants.servers.health import is_healthy, server_status
from assistants.servers.launch_options import LOOPBACK, LaunchOptions

START_LIMIT_S = 1800.0
"""Seconds. Large weights from a slow disk take many minutes, and compiling takes some more."""

_NEEDED = ("PATH", "LD_LIBRARY_PATH")
"""All that a supervisor gets of the environment: some a Python cannot start without."""

FIRST_PORT = 8000
_MAX_PORTS = 1000

_LOOK_S = 0.5
_TRIES = 3
"""Ports that are tried when somebody else takes them between looking and taking."""


@dataclass(frozen=True, slots=True)
class StartProgress:
    """Progress of a start: seconds since it began, what the server does now, its last line."""

    name: str
    seconds: float
    stage: str
    line: str


ProgressCallback = Callable[[StartProgress], None]


def report_stages(say: Callable[[str], None]) -> ProgressCallback:
    """Return a callback that says a line for each stage of a start."""
    seen: list[str] = []

    def report(now: StartProgress) -> None:
        if now.stage not in seen:
            seen.append(now.stage)
            say(f"{now.name}: {now.stage} ({now.seconds:.0f} s)")

    return report


async def start_server(
    launch: LaunchOptions,
    *,
    python: str | None = None,
    detach: bool = False,
    limit: float = START_LIMIT_S,
    report: ProgressCallback = lambda _: None,
) -> ServerRecord:
    """Start one server and wait until it answers.

    Servers that start at the same time see each other's memory come and go and make caches of a
    wrong size (vllm#55827), so this waits until no other start on this machine is under way.

    Parameters
    ----------
    launch
        What to start.
    python
        The Python that has vLLM; see ``vllm_python``.
    detach
        Let it live on when this process ends. Otherwise it is gone a few seconds after.
    limit
        Seconds after which it is given up.
    report
        Told at least twice a second how far it is.

    Raises
    ------
    UsageError
        If a server of that name runs, the port is taken, or the variable that was named holds no
        key.
    MissingDependencyError
        If there is no vLLM.
    ServerStartError
        If it ends or stays silent; it says what the server said last.
    """
    command, key = vllm_python(python), launch.key()
    async with _start_lock(launch.name, report):
        await asyncio.to_thread(processes.remove_stale)
        _check_name(launch)
        if is_embedded(launch.source):
            report(StartProgress(launch.name, 0, "turning its weights into safetensors", ""))
            folder = await asyncio.to_thread(as_safetensors, launch.source, command)
            launch = replace(launch, source=str(folder), served_name=launch.served)
        free = _free(launch.gpus)
        tries = _TRIES if launch.port is None else 1
        while True:
            record = _spawn_supervisor(launch, command, port_for(launch), key, detach)
            try:
                await _until_it_answers(record, limit, report)
                return await _with_status(record, free)
            except BaseException as error:
                await asyncio.shield(asyncio.to_thread(processes.stop_server, record))
                tries -= 1
                beaten = isinstance(error, ServerStartError) and logs.is_port_taken(error.log)
                if not beaten or not tries:
                    raise


def port_for(launch: LaunchOptions) -> int:
    """Return the port that was asked for, or the first free one.

    It is the server that takes it, some seconds later; somebody else may have been faster then.

    Raises
    ------
    UsageError
        If it is taken, naming by whom if that is a server of ours, or if none is free.
    """
    if launch.port is not None:
        if not _is_free(launch.host, launch.port, again=True):
            raise UsageError(
                f"Port {launch.port} is taken{_by_whom(launch.port)}.",
                fix="Ask for another with `--port`, or for none: the first free one is used.",
            )
        return launch.port
    for port in range(FIRST_PORT, FIRST_PORT + _MAX_PORTS):
        if _is_free(launch.host, port):
            return port
    raise UsageError(f"No port from {FIRST_PORT} to {FIRST_PORT + _MAX_PORTS - 1} is free.")


def _is_free(host: str, port: int, *, again: bool = False) -> bool:
    """Return whether a port can be taken; ``again`` if it was in use a moment ago.

    A port that a starting server has bound and does not listen on yet looks free with that.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if again:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host or LOOPBACK, port))
        except OSError:
            return False
    return True


def _by_whom(port: int) -> str:
    record = next((record for record in registry.records() if record.port == port), None)
    return f" by {record.name}" if record else ""


def _spawn_supervisor(
    launch: LaunchOptions, python: str, port: int, key: str, detach: bool
) -> ServerRecord:
    """Start a supervisor with its order; the record is written before anything answers."""
    log = logs.create_log(launch.name)
    lock = registry.lock_path(launch.name)
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    order = {
        "argv": launch.argv(python, port),
        "environment": launch.environment(key),
        "log": str(log),
        "lock": str(lock),
        "parent": 0 if detach else os.getpid(),
        "leaves": [str(lock.with_suffix(".json")), str(lock)],
    }
    supervisor = subprocess.Popen(  # noqa: S603 - our own interpreter and file
        [sys.executable, "-P", str(Path(__file__).with_name("supervisor.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _NEEDED if name in os.environ},
        start_new_session=True,
    )
    reply = _order(supervisor, order)
    if "error" in reply:
        supervisor.communicate()
        raise ServerStartError(f"{launch.name} could not be started: {reply['error']}.")
    processes.keep_pipe_open(supervisor)
    record = ServerRecord(
        name=launch.name,
        model=launch.served,
        source=launch.source,
        url=f"http://{launch.reached_at}:{port}",
        key=key,
        python=python,
        log=str(log),
        supervisor=supervisor.pid,
        group=reply["group"],
        started=time.time(),
        gpus=launch.gpus,
        detached=detach,
        asked=launch.utilization,
        variant=launch.variant,
        context=launch.max_model_len,
    )
    try:
        registry.write(record)
    except BaseException:
        processes.stop_server(record)
        raise
    return record


def _order(supervisor: subprocess.Popen[bytes], order: dict[str, object]) -> dict[str, Any]:
    assert supervisor.stdin is not None
    assert supervisor.stdout is not None
    with suppress(BrokenPipeError):
        supervisor.stdin.write(json.dumps(order).encode() + b"\n")
        supervisor.stdin.flush()
    line = supervisor.stdout.readline()
    supervisor.stdout.close()
    reply: dict[str, Any] = json.loads(line or b'{"error": "its supervisor ended without a word"}')
    return reply


async def _until_it_answers(record: ServerRecord, limit: float, report: ProgressCallback) -> None:
    start = time.monotonic()
    while True:
        text = logs.read_tail(record.log)
        seconds = time.monotonic() - start
        report(StartProgress(record.name, seconds, logs.stage(text), logs.last_line(text)))
        if await is_healthy(record):
            return
        text = logs.read_tail(record.log)
        if not registry.is_alive(record):
            raise ServerStartError(
                f"{record.name} ended {seconds:.0f} s after its start.",
                fix=logs.advice(text) or f"The whole log is {record.log}.",
                log=logs.last_lines(text),
            )
        if seconds > limit:
            raise ServerStartError(
                f"{record.name} did not answer within {limit:g} s and was ended.",
                fix=f"Allow more with `--wait`, or read {record.log}.",
                log=logs.last_lines(text),
            )
        await asyncio.sleep(min(_LOOK_S, 0.05 + seconds / 10))  # a small model is there at once


async def _with_status(record: ServerRecord, free: dict[int, int]) -> ServerRecord:
    """Return the record with what the server reports, and the memory that it took."""
    status = await server_status(record)
    now = _free(record.gpus)
    taken = [free[index] - now[index] for index in now if index in free]
    memory = max(taken, default=0) or processes.resident_bytes(
        processes.session_processes(record.group, record.started)
    )
    return registry.update(
        record,
        context=status.context or record.context,
        cache_tokens=status.metrics.cache_tokens,
        memory=max(0, memory) or None,
    )


def _free(which: tuple[int, ...]) -> dict[int, int]:
    """Return the bytes free on each GPU that was named, or on all of them."""
    listed = find_gpus(hidden=bool(which))
    return {gpu.index: gpu.free for gpu in listed if not which or gpu.index in which}


def _check_name(launch: LaunchOptions) -> None:
    for record in registry.records():
        if registry.is_alive(record) and launch.name == record.name:
            raise UsageError(
                f"{record.name} runs already, at {record.url}.",
                fix=f"Use it as vllm:{record.model}, end it with `assistants stop {record.name}`, "
                "or name the new one with `--served-name`.",
            )


@asynccontextmanager
async def _start_lock(name: str, report: ProgressCallback) -> AsyncIterator[None]:
    """Wait for all other starts on this machine, and hold them off."""
    import fcntl

    registry.folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(registry.folder() / "starting", os.O_RDWR | os.O_CREAT, 0o600)
    start = time.monotonic()
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                waited = time.monotonic() - start
                report(StartProgress(name, waited, "waiting for another server's start", ""))
                await asyncio.sleep(_LOOK_S)
        yield
    finally:
        os.close(handle)
