"""A vLLM server for this process alone: start it on loopback, watch it, end it."""

from __future__ import annotations

import http.client
import os
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from assistants.errors import MissingDependencyError, ServerError, ServerUnreachableError
from assistants.utils import Address, api_keys, truncate_line

START_LIMIT_S = 3600.0
"""A large model's weights come from a slow disk, and vLLM may compile kernels for them."""

_HOST = "127.0.0.1"
_LOOK_S = 0.2
_HEALTH_S = 5.0
_LOG_TAIL = 64 * 1024
_REASON = re.compile(r"\b(?:\w*(?:Error|Exception)|error|Value error,)(?::|(?<=,)) \S.*")
_NO_REASON = re.compile("Engine core initialization failed")  # it points to another line
_NO_MODULE = re.compile(r"No module named '([\w.]+)'")


class PrivateServer:
    """A vLLM server that only this process knows the key of; ready when the constructor returns.

    Its end follows the end of this process, however that comes about; see ``private_worker``.

    Parameters
    ----------
    name
        The model as the user wrote it, for messages.
    python
        The Python that has vLLM.
    options
        Options of vLLM's server; its address and key are decided here.

    Raises
    ------
    MissingDependencyError
        If that Python cannot be run, or has no vLLM.
    ServerUnreachableError
        If vLLM does not start, with the reason that its log gives.
    """

    def __init__(self, name: str, python: str, options: Sequence[str]) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._ended = threading.Event()
        key = secrets.token_urlsafe(32)
        api_keys.remember(key)
        handle, log = tempfile.mkstemp(prefix="assistants-vllm-", suffix=".log")
        self.log = Path(log)
        with _reserved_port() as reserved:
            self._port = int(reserved.getsockname()[1])
            self.address = Address(f"http://{_HOST}:{self._port}/v1", key)
            worker = str(Path(__file__).with_name("private_worker.py"))
            command = [python, "-P", worker, str(os.getpid()), log, *options]
            command += ["--host", _HOST, "--port", str(self._port), "--disable-uvicorn-access-log"]
            try:
                self._process = subprocess.Popen(  # noqa: S603 - a Python that the user named
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=handle,
                    stderr=handle,
                    start_new_session=True,  # out of reach of Ctrl-C, and one group to end
                    env=_environment(key),
                )
            except OSError as error:
                self.log.unlink(missing_ok=True)
                raise MissingDependencyError(
                    f"{name}: {python} is no Python that can be run ({error.strerror}).",
                    fix="Set ASSISTANTS_VLLM_PYTHON to one that has vLLM, such as "
                    "~/vllm/bin/python.",
                ) from None
            finally:
                os.close(handle)
            threading.Thread(target=self._watch, name=f"watch {name}", daemon=True).start()
            try:
                self._wait_until_it_answers()
            except BaseException:
                self.end()
                raise

    @property
    def pid(self) -> int:
        """The process id of the server; that of its process group as well."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """True while the server runs."""
        return not self._ended.is_set()

    def is_healthy(self) -> bool:
        """Ask the server, and wait some seconds at most; not for an event loop's thread."""
        return self.is_alive and self._status("/health") == http.client.OK

    def error(self) -> ServerError:
        """Return the error of a call during which the server ended."""
        reason = self._reason()
        return ServerError(
            f"{self._name}: vLLM has ended while it was needed{f': {reason}' if reason else '.'}",
            fix=f"{self._log_hint()}The next call starts it again.",
        )

    def stop(self) -> None:
        """End the server, and remove its log unless the server had ended before by itself."""
        was_alive = self.is_alive
        self.end()
        if was_alive or not self._log_hint():
            self.log.unlink(missing_ok=True)

    def end(self) -> None:
        """End the server with everything it started, wait until it is gone, and keep its log."""
        with self._lock:
            if self._process.returncode is None:  # later, the group's number may be another's
                _kill_group(self._process.pid)
        self._ended.wait()

    def _watch(self) -> None:
        """Wait in a thread for the server's end, then end what it leaves behind."""
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            _kill_group(self._process.pid)
            self._process.wait()
        self._ended.set()

    def _wait_until_it_answers(self) -> None:
        limit = time.monotonic() + START_LIMIT_S
        while self._status("/v1/models") != http.client.OK:
            if self._ended.wait(_LOOK_S) or time.monotonic() > limit:
                self.end()
                raise self._start_error()

    def _status(self, path: str) -> int | None:
        """Return the status of a reply, with our key; ``None`` if there is none."""
        connection = http.client.HTTPConnection(_HOST, self._port, timeout=_HEALTH_S)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.address.key}"})
            with connection.getresponse() as response:
                return response.status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _start_error(self) -> MissingDependencyError | ServerUnreachableError:
        reason = self._reason()
        module = _NO_MODULE.search(reason)
        if module is not None:
            self.log.unlink(missing_ok=True)
            return _missing(self._name, module[1])
        return ServerUnreachableError(
            f"{self._name} did not start: {reason or 'its process ended without a word'}.",
            fix=f"{self._log_hint()}If memory is short, set VLLM_OFFLINE_ARGS to "
            "`--max-model-len 4096` or `--gpu-memory-utilization 0.8`.",
        )

    def _log_hint(self) -> str:
        with suppress(OSError):
            if self.log.stat().st_size:
                return f"The log is {self.log}. "
            self.log.unlink()
        return ""

    def _reason(self) -> str:
        """Return why the server ended, as far as its log says."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - _LOG_TAIL))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        reasons = [match[0] for line in lines if (match := _REASON.search(line))]
        telling = [reason for reason in reasons if not _NO_REASON.search(reason)]
        return truncate_line(api_keys.redact((telling or reasons or [""])[-1]), 300).rstrip(".")


def _reserved_port() -> socket.socket:
    """Return a socket that keeps a free port from others until vLLM listens there.

    Nothing connects to it, since it does not listen. vLLM shares ports (SO_REUSEPORT) as well.
    """
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind((_HOST, 0))
    return reserved


def _kill_group(number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(number, signal.SIGKILL)


def _environment(key: str) -> dict[str, str]:
    """Return ours, without secrets but the server's key, and with nothing that calls home."""
    return api_keys.without_secrets(os.environ) | {
        "VLLM_API_KEY": key,
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # A forked engine would hold on to locks of threads that it lacks.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "PYTHONUNBUFFERED": "1",
    }


def _missing(name: str, module: str) -> MissingDependencyError:
    if module.startswith("vllm."):
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
