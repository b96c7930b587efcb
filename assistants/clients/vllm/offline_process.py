"""The parent's side of an offline model: start the process with vLLM, ask it, end it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from assistants.clients.vllm.offline_worker import HEAD
from assistants.errors import CallError, MissingDependencyError, ServerError, ServerUnreachableError
from assistants.utils import api_keys
from assistants.utils.text import truncate_line

START_LIMIT_S = 3600.0
"""A large model's weights come from a slow disk, and vLLM may compile kernels for them."""

_SAYS_WHY = re.compile(r"\b(?:\w*(?:Error|Exception)|error|Value error,)(?::|(?<=,)) \S.*")
_SAYS_NOTHING = "Engine core initialization failed"  # vLLM points to another line with this one
_LOG_TAIL = 64 * 1024

Frame = tuple[bytes, bytes]
"""Kind and content: ``s`` the status, ``b`` bytes of the body, ``e`` its end, ``x`` no more."""


class PendingRequest:
    """One request to the process, and the frames of its reply; of one event loop."""

    def __init__(self, process: EngineProcess, number: int) -> None:
        self._process = process
        self._number = number
        self._loop = asyncio.get_running_loop()
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()

    async def next(self) -> Frame:
        """The next frame.

        Raises
        ------
        ServerError
            If the process is gone.
        """
        frame = await self._frames.get()
        if frame[0] == b"x":
            raise self._process.fault()
        return frame

    def leave(self) -> None:
        """Nobody waits for the rest: the engine drops the request."""
        self._process.drop(self._number)

    def deliver(self, frame: Frame) -> None:
        """From the reading thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._frames.put_nowait, frame)


class EngineProcess:
    """A process that holds one model in vLLM, ready when the constructor returns.

    Parameters
    ----------
    name
        The model as the user wrote it, for messages.
    command
        What starts the process.
    order
        What the process is told: the folder of the weights and vLLM's options.

    Raises
    ------
    MissingDependencyError
        If that Python has no vLLM.
    ServerUnreachableError
        If vLLM does not start, with the last words of its log.
    """

    def __init__(self, name: str, command: list[str], order: dict[str, object]) -> None:
        self._name = name
        self._numbers = itertools.count(1)
        self._exchanges: dict[int, PendingRequest] = {}
        self._lock = threading.Lock()
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._alive = True
        self._killed = False
        handle, self.log = tempfile.mkstemp(prefix="assistants-vllm-", suffix=".log")
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a Python that the user named
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=handle,
                start_new_session=True,  # out of reach of Ctrl-C, and one group to end
                env=_environment(),
                bufsize=0,  # no locks, which a forked process could inherit locked
            )
        except OSError as error:
            Path(self.log).unlink(missing_ok=True)
            raise _cannot_run(name, command[0], error) from None
        finally:
            os.close(handle)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        try:
            self.context = self._start(order)
        except BaseException:
            self.stop()
            raise
        for work in (self._write, self._read):
            threading.Thread(target=work, name=f"{work.__name__} {name}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id; that of its process group as well."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._alive and self._process.poll() is None

    def ask(self, method: str, path: str, body: str) -> PendingRequest:
        """Send a request to ``path`` of vLLM's application; ``body`` is JSON in ASCII, or empty."""
        with self._lock:
            if not self._alive:
                raise self.fault()
            number = next(self._numbers)
            exchange = self._exchanges[number] = PendingRequest(self, number)
        request = {"method": method, "path": path, "body": body}
        self._send(number, b"q", json.dumps(request).encode("ascii"))
        return exchange

    def drop(self, number: int) -> None:
        """Forget a request, and have the engine forget it."""
        if self._exchanges.pop(number, None) is not None:
            self._send(number, b"x", b"")

    def fault(self) -> ServerError:
        """What a call hears when the process has gone."""
        said = self._last_words()
        return ServerError(
            f"{self._name}: vLLM has ended while it was needed{f': {said}' if said else '.'}",
            fix=f"{self._where()}The next call starts it again.",
        )

    def stop(self) -> None:
        """End the process and everything vLLM started, and wait until it is gone."""
        clean, self._alive = self._alive, False
        self._kill()
        self._process.wait()
        self._outgoing.put(None)
        self.let_go()
        with suppress(OSError):
            if clean or not Path(self.log).stat().st_size:
                Path(self.log).unlink()

    def let_go(self) -> None:
        """Close our ends of its pipes; it ends by itself when nobody else holds them."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _start(self, order: dict[str, object]) -> int:
        timer = threading.Timer(START_LIMIT_S, self._kill)
        timer.daemon = True
        timer.start()
        try:
            content = json.dumps(order | {"parent": os.getpid(), "log": self.log}).encode()
            self._put(HEAD.pack(0, b"o", len(content)) + content)
            frame = self._frame()
        except BrokenPipeError:
            frame = None
        finally:
            timer.cancel()
        said = json.loads(frame[2]) if frame is not None else {"error": ""}
        if "missing" in said:
            raise _missing(self._name, str(said["missing"]))
        if "error" in said:
            self._alive = False  # its log stays
            words = self._last_words() or truncate_line(str(said["error"]), 300)
            raise ServerUnreachableError(
                f"{self._name} did not start: {words or 'its process ended without a word'}.",
                fix=f"{self._where()}If memory is short, set VLLM_OFFLINE_ARGS to "
                "`--max-model-len 4096` or `--gpu-memory-utilization 0.8`.",
            )
        return int(said["context"])

    def _frame(self) -> tuple[int, bytes, bytes] | None:
        head = self._exactly(HEAD.size)
        if head is None:
            return None
        number, kind, length = HEAD.unpack(head)
        content = self._exactly(length)
        return None if content is None else (number, kind, content)

    def _exactly(self, length: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < length:
            part = self._from.read(length - len(parts))
            if not part:
                return None
            parts += part
        return bytes(parts)

    def _put(self, frame: bytes) -> None:
        left = memoryview(frame)
        while left:
            left = left[self._to.write(left) :]

    def _send(self, number: int, kind: bytes, content: bytes) -> None:
        self._outgoing.put(HEAD.pack(number, kind, len(content)) + content)

    def _write(self) -> None:
        """In a thread: a full pipe must not hold up an event loop."""
        with suppress(OSError, ValueError):  # it is gone, which the reader tells
            while (frame := self._outgoing.get()) is not None:
                self._put(frame)

    def _read(self) -> None:
        with suppress(OSError, ValueError):
            while (frame := self._frame()) is not None:
                number, kind, content = frame
                exchange = self._exchanges.get(number)
                if exchange is not None:
                    exchange.deliver((kind, content))
                    if kind == b"e":
                        self._exchanges.pop(number, None)
        with self._lock:
            self._alive = False
            left = list(self._exchanges.values())
            self._exchanges.clear()
        self._kill()  # should only the process itself have died, vLLM's engine still runs
        for exchange in left:
            exchange.deliver((b"x", b""))

    def _kill(self) -> None:
        """Once: later, the number of the group may be somebody else's."""
        if self._killed:
            return
        self._killed = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _where(self) -> str:
        with suppress(OSError):
            if Path(self.log).stat().st_size:
                return f"The log is {self.log}. "
        return ""

    def _last_words(self) -> str:
        """Why it ended, as far as its log says."""
        try:
            with Path(self.log).open("rb") as file:
                file.seek(max(0, Path(self.log).stat().st_size - _LOG_TAIL))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        reasons = [m[0] for line in lines if (m := _SAYS_WHY.search(line))]
        telling = [reason for reason in reasons if _SAYS_NOTHING not in reason]
        return truncate_line(api_keys.redact((telling or reasons or [""])[-1]), 300).rstrip(".")


def _environment() -> dict[str, str]:
    """Ours, without keys that vLLM has no use for, and with everything that calls home off."""
    return api_keys.without_secrets(os.environ) | {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # A forked engine would hold on to our pipes, and to locks of threads that it lacks.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "PYTHONUNBUFFERED": "1",
    }


def _cannot_run(name: str, python: str, error: OSError) -> CallError | MissingDependencyError:
    return MissingDependencyError(
        f"{name}: {python} is no Python that can be run ({error.strerror}).",
        fix="Set ASSISTANTS_VLLM_PYTHON to one that has vLLM, such as ~/vllm/bin/python.",
    )


def _missing(name: str, module: str) -> MissingDependencyError:
    if module.partition(".")[0] == "vllm" and module != "vllm":
        return MissingDependencyError(
            f"{name}: this release of vLLM is too old, it has no {module}.",
            fix="Run `pip install --upgrade vllm` in the environment it is in.",
        )
    return MissingDependencyError(
        f"{name} runs on vLLM, and this Python lacks {module}.",
        fix="vLLM's pins are heavy, so give it an environment of its own: `python3 -m venv ~/vllm` "
        "and `~/vllm/bin/pip install vllm`; then set ASSISTANTS_VLLM_PYTHON to ~/vllm/bin/python. "
        "`pip install vllm` into this one works where the pins agree.",
    )
