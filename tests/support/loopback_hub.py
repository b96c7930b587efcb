"""A Hugging Face hub on loopback, as far as its library asks one: repositories and their files.

with LoopbackHub({"owner/repo-GGUF": [HubFile("model-Q4_K_M.gguf", content)]}) as hub:
    run("fetch", "hf:owner/repo-GGUF:Q4_K_M", HF_ENDPOINT=hub.url)
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote

COMMIT = "c0ffee" * 6 + "c0ff"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository; ``served`` is sent in its place, and ``sha256`` told of it."""

    name: str
    content: bytes = b"GGUF"
    sha256: str = ""
    served: bytes | None = None

    def as_json(self) -> dict[str, object]:
        size = len(self.content)
        sha256 = self.sha256 or hashlib.sha256(self.content).hexdigest()
        lfs = {"sha256": sha256, "size": size, "pointerSize": 130}
        return {"rfilename": self.name, "size": size, "blobId": "0" * 40, "lfs": lfs}


class LoopbackHub:
    """Serves repositories for as long as its ``with`` block lasts.

    Parameters
    ----------
    repos
        The files of each repository.
    cut_after
        Bytes after which the first download of a file breaks off.
    """

    def __init__(
        self, repos: Mapping[str, Sequence[HubFile]], *, cut_after: int | None = None
    ) -> None:
        self.repos = repos
        self.cut_after = cut_after
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and ``Range`` of each request."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub._answer(self)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(request.path.partition("?")[0])
        self.requests.append((request.command, path, request.headers.get("Range", "")))
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)", path):
            if match[1] in self.repos:
                files = [file.as_json() for file in self.repos[match[1]]]
                about = {"id": match[1], "modelId": match[1], "sha": COMMIT, "siblings": files}
                about["cardData"] = {"license": "mit"}
                _send(
                    request, 200, json.dumps(about).encode(), {"Content-Type": "application/json"}
                )
                return
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            for file in self.repos.get(match[1], ()):
                if file.name == match[3] and match[2] == COMMIT:
                    self._send_file(request, file)
                    return
        _send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _send_file(self, request: BaseHTTPRequestHandler, file: HubFile) -> None:
        body = file.content if file.served is None else file.served
        etag = hashlib.sha256(file.content).hexdigest()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if match := re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", "")):
            start, size = int(match[1]), len(body)
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
            _send(request, 206, body[start:], headers)
        elif self.cut_after is not None and request.command == "GET":
            cut, self.cut_after = self.cut_after, None
            _send(request, 200, body, headers, send=cut)
            request.close_connection = True
        else:
            _send(request, 200, body, headers)


def _send(
    request: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    send: int | None = None,
) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body[:send])
