"""The child process that runs vLLM for one offline model; this file is the whole program.

It holds vLLM's ``AsyncLLM`` and vLLM's own OpenAI application on top of it, and calls that
application directly: there is no socket and no port. So a request means here what it means to
``vllm serve``, from the chat template to the defaults of ``generation_config.json``.

Requests come in and replies go out as frames: ``(number of the request, kind, length)`` and then
the bytes. A session of its own keeps Ctrl-C away, and everything vLLM starts stays in its process
group, so that one signal ends it all: vLLM's engine does not notice by itself that its parent is
gone.

It imports nothing of this package, so that any Python that has vLLM can run it as a file.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import threading
import time
import traceback
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

HEAD = struct.Struct("!QcI")
"""What stands before the bytes of a frame: the request's number, the kind, how many bytes."""


class Pipe:
    """Both directions of the way to the parent."""

    def __init__(self) -> None:
        self.log = ""
        self._in = os.dup(0)
        self._out = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)  # whatever vLLM prints belongs into the log

    def order(self) -> dict[str, Any]:
        """What this process is for; from now on it lives no longer than its parent."""
        order: dict[str, Any] = json.loads(self.read()[2])
        self.log = order["log"]
        threading.Thread(target=_leave_with, args=(order["parent"], self.log), daemon=True).start()
        return order

    def read(self) -> tuple[int, bytes, bytes]:
        """Wait for the next frame; leave when there will be none."""
        number, kind, length = HEAD.unpack(self._exactly(HEAD.size))
        return number, kind, self._exactly(length)

    def write(self, number: int, kind: bytes, content: bytes) -> None:
        """Send a frame."""
        left = memoryview(HEAD.pack(number, kind, len(content)) + content)
        while left:
            left = left[os.write(self._out, left) :]

    def _exactly(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            part = os.read(self._in, length - len(parts))
            if not part:
                leave(self.log)
            parts += part
        return bytes(parts)


def main() -> None:
    """Answer until the parent is gone, or the engine is."""
    # Ctrl-C reaches every process of a terminal; whether the model stops is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = Pipe()
    order = pipe.order()
    try:
        asyncio.run(_serve(order, pipe))
    except ModuleNotFoundError as error:
        said = {"missing": error.name or ""}
    except SystemExit as error:  # the parser of vLLM's options; its words are in the log
        said = {"error": "" if isinstance(error.code, int) else str(error.code)}
    except Exception as error:
        traceback.print_exc()
        said = {"error": f"{type(error).__name__}: {error}"}
    pipe.write(0, b"r", json.dumps(said).encode())
    leave()


async def _serve(order: dict[str, Any], pipe: Pipe) -> None:
    import vllm
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.launchers.api_server.entry import build_async_engine_client
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    args = make_arg_parser(FlexibleArgumentParser()).parse_args(order["argv"])
    args.model = order["model"]
    async with build_async_engine_client(args) as engine:
        tasks = await engine.get_supported_tasks()
        app = build_app(args, tasks, engine.model_config)
        await init_app_state(engine, app.state, args, tasks)
        app.state.server = SimpleNamespace()  # what vLLM tells to stop when its engine has died
        ready = {"context": engine.model_config.max_model_len, "vllm": vllm.__version__}
        pipe.write(0, b"r", json.dumps(ready).encode())
        answering = Answering(app, pipe)
        loop = asyncio.get_running_loop()
        threading.Thread(target=_listen, args=(pipe, loop, answering), daemon=True).start()
        while not engine.errored:  # noqa: ASYNC110 - vLLM has no event for it
            await asyncio.sleep(0.25)
        leave()


class Answering:
    """The requests in flight."""

    def __init__(self, app: Any, pipe: Pipe) -> None:
        self._app = app
        self._pipe = pipe
        self._gone: dict[int, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def heard(self, number: int, kind: bytes, content: bytes) -> None:
        """A new request, or that nobody waits for one any more."""
        if kind == b"q":
            self._gone[number] = asyncio.Event()
            task = asyncio.ensure_future(self._answer(number, json.loads(content)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif number in self._gone:
            self._gone[number].set()

    async def _answer(self, number: int, request: dict[str, str]) -> None:
        gone = self._gone[number]
        unread = [request["body"].encode("ascii")]

        async def receive() -> dict[str, Any]:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if gone.is_set():
                return
            if message["type"] == "http.response.start":
                self._pipe.write(number, b"s", str(message["status"]).encode())
            elif message["type"] == "http.response.body" and message.get("body"):
                self._pipe.write(number, b"b", message["body"])

        try:
            await self._app(_scope(request["method"], request["path"]), receive, send)
        except Exception:  # the application has answered with it; the log has the rest
            traceback.print_exc()
        finally:
            del self._gone[number]
            if not gone.is_set():
                self._pipe.write(number, b"e", b"")


def _scope(method: str, path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("localhost", 0),
        "server": ("localhost", 0),
        "state": {},
    }


def _listen(pipe: Pipe, loop: asyncio.AbstractEventLoop, answering: Answering) -> None:
    while True:
        loop.call_soon_threadsafe(answering.heard, *pipe.read())


def leave(log: str = "") -> None:
    """End at once, with every process that vLLM has started."""
    if log:  # nobody is left who could read it
        with suppress(OSError):
            os.unlink(log)  # noqa: PTH108 - few imports, fast start
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _leave_with(parent: int, log: str) -> None:
    """Leave once the parent is gone, even if a process it forked still holds the pipe open."""
    while os.getppid() == parent:
        time.sleep(1)
    leave(log)


if __name__ == "__main__":
    main()
