"""A Python whose vLLM passes every request on, told what to do by the weights' ``config.json``.

``forward`` is the base URL of a server that every request goes to. ``say`` is written to the log
and ends it. ``engine`` starts a process of its own first, as vLLM does.

    python = fake_python(folder)               # for ASSISTANTS_VLLM_PYTHON
    weights = fake_weights(folder / "smol", forward=server.url)
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def fake_python(folder: Path) -> str:
    """Write a program that can be named as the Python with vLLM."""
    package = folder / "fake-vllm" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True, exist_ok=True)
    program = f"import runpy\nrunpy.run_path({__file__!r}, run_name='__main__')\n"
    (package / "api_server.py").write_text(program)
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{package.parents[2]}" exec "{sys.executable}" "$@"\n')
    path.chmod(0o755)
    return str(path)


def fake_weights(folder: Path, **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def start_engine() -> None:
    os.posix_spawnp("sleep", ["sleep", "1000"], os.environ)


class Proxy:
    """Passes requests on, if they have the key, and answers whoever asks whether it is there."""

    def __init__(self, forward: str, key: str) -> None:
        parts = urlsplit(forward)
        self.host, self.port = parts.hostname, parts.port
        self.below = parts.path.removesuffix("/v1").encode()
        self.key = f"authorization: bearer {key}\r\n".lower().encode()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above: asyncio.StreamWriter | None = None
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, fields = head.split(b"\r\n", 1)
                method, path, version = line.split()
                body = await reader.readexactly(length_of(fields))
                if self.key not in fields.lower() and path.startswith(b"/v1/"):
                    reply(writer, b"401 Unauthorized")
                elif path in (b"/v1/models", b"/health"):
                    reply(writer, b"200 OK")
                else:
                    if above is None:
                        there, above = await asyncio.open_connection(self.host, self.port)
                        pump = asyncio.ensure_future(pumped(there, writer))
                    above.write(b" ".join([method, self.below + path, version]) + b"\r\n")
                    above.write(fields + body)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            if above is not None:
                pump.cancel()
                above.close()


async def pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


def length_of(fields: bytes) -> int:
    lengths = [
        line for line in fields.lower().split(b"\r\n") if line.startswith(b"content-length:")
    ]
    return int(lengths[0].partition(b":")[2]) if lengths else 0


def reply(writer: asyncio.StreamWriter, status: bytes) -> None:
    writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")


async def main() -> None:
    options = argparse.ArgumentParser(allow_abbrev=False)
    options.add_argument("--model", type=Path)
    options.add_argument("--host")
    options.add_argument("--port", type=int)
    chosen, _ = options.parse_known_args()
    config = json.loads((chosen.model / "config.json").read_text())
    if config.get("engine"):
        start_engine()
    if "say" in config:
        print(config["say"], end="", file=sys.stderr, flush=True)
        os._exit(1)
    proxy = Proxy(config["forward"], os.environ["VLLM_API_KEY"])
    server = await asyncio.start_server(
        proxy.connected, chosen.host, chosen.port, limit=1 << 24, reuse_port=True
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
