"""A program in the place of the process with vLLM, told what to do by the weights' ``config.json``.

``forward`` is the base URL of a server that every request goes to. ``say`` is written to the log
and ends it. ``engine`` starts a process of its own first, as vLLM does.

    python = fake_python(folder)               # for ASSISTANTS_VLLM_PYTHON
    weights = fake_weights(folder / "smol", forward=server.url)
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import importlib.util
import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def fake_python(folder: Path) -> str:
    """A program that can be named as the Python with vLLM."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}"\n')
    path.chmod(0o755)
    return str(path)


def fake_weights(folder: Path, **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def start_engine() -> None:
    os.posix_spawnp("sleep", ["sleep", "1000"], os.environ)


async def main(pipe: Any, child: Any) -> None:
    config = json.loads((Path(pipe.order()["model"]) / "config.json").read_text())
    if config.get("engine"):
        start_engine()
    if "say" in config:
        print(config["say"], end="", file=sys.stderr, flush=True)
        os._exit(1)
    server = urlsplit(config["forward"])
    below = server.path.removesuffix("/v1")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        gone = asyncio.ensure_future(receive())
        connection = http.client.HTTPConnection(server.netloc)
        request = (scope["method"], below + scope["path"], body)
        with contextlib.suppress(OSError):  # then the request fails, and says so
            await asyncio.to_thread(connection.connect)
        answered = asyncio.ensure_future(forward(connection, request, send))
        await asyncio.wait({gone, answered}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not answered.done() and connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
        await answered

    async def forward(connection: Any, request: Any, send: Any) -> None:
        try:
            await asyncio.to_thread(connection.request, *request)
            reply = await asyncio.to_thread(connection.getresponse)
            await send({"type": "http.response.start", "status": reply.status})
            while chunk := await asyncio.to_thread(reply.read1, 65536):
                await send({"type": "http.response.body", "body": chunk})
        except (OSError, http.client.HTTPException) as error:
            said = json.dumps({"error": {"message": str(error)}}).encode()
            await send({"type": "http.response.start", "status": 500})
            await send({"type": "http.response.body", "body": said})
        finally:
            connection.close()

    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(64))
    pipe.write(0, b"r", json.dumps({"context": 4096, "vllm": "fake"}).encode())
    await asyncio.to_thread(child._listen, pipe, loop, child.Answering(app, pipe))


def the_program() -> Any:
    """The module by its file: the package around it takes a second to import."""
    path = Path(__file__).parents[2] / "assistants" / "clients" / "vllm" / "offline_worker.py"
    spec = importlib.util.spec_from_file_location("offline_worker", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    program = the_program()
    asyncio.run(main(program.Pipe(), program))
