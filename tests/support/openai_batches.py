"""Files and batches of ``OpenAIServer``: ``/v1/files`` and ``/v1/batches``.

    batches = OpenAIBatches()
    with OpenAIServer(routes=[batches]) as server:
        batches.attach(server)

Time stands still between looks: each GET of a batch takes it one step on, so no test waits.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from openai.types import Batch, FileDeleted, FileObject

from support.openai_server import OpenAIServer, Reply, Request

ENDED = ("completed", "failed", "expired", "cancelled")
MAX_REQUESTS = 50_000
MAX_BYTES = 200_000_000


class OpenAIBatches:
    """The routes, and the files and batches that they know.

    Attributes
    ----------
    per_look
        Requests that a batch in progress answers between two looks; ``None``: all.
    ending
        How a batch ends: ``completed``, ``expired`` or ``failed``.
    end_after
        Looks in progress after which a batch that is to expire does so.
    enqueued_requests
        Requests that may wait in all; a batch above fails as OpenAI's do above the token limit.
    held
        Nothing goes on while it is true.
    on_request
        Called with the step, before and after it is done: ``("before", "upload")``. Steps are
        ``upload``, ``create``, ``retrieve``, ``list``, ``cancel``, ``content``, ``delete``. Where
        it returns true, the step is not done, and the reply is an error.
    mangle
        Changes the bytes of an output file.
    """

    def __init__(self) -> None:
        self.files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.created = 0
        """Batches that were created: each is paid for."""
        self.per_look: int | None = None
        self.ending = "completed"
        self.end_after = 1
        self.enqueued_requests: int | None = None
        self.held = False
        self.on_request: Callable[[str, str], object] = lambda when, step: None
        self.mangle: Callable[[bytes], bytes] = lambda content: content
        self.steps: list[str] = []
        self._numbers = itertools.count(1)
        self._waiting: dict[str, list[dict[str, Any]]] = {}
        self._looks: Counter[str] = Counter()
        self._replies: dict[str, tuple[list[Any], list[Any]]] = {}
        self._server: OpenAIServer | None = None

    def attach(self, server: OpenAIServer) -> None:
        """Let this server's models answer."""
        self._server = server

    @property
    def asked(self) -> list[str]:
        """The ``custom_id`` of every request that was in a batch which did not fail."""
        return [
            request["custom_id"]
            for batch in self.batches.values()
            if batch["status"] != "failed"
            for request in _requests(self.files[batch["input_file_id"]][1])
        ]

    def __call__(self, request: Request) -> Reply | None:
        path = request.path.removeprefix("/v1/")
        routes: list[tuple[str, str, str, Callable[..., Reply]]] = [
            ("POST", r"files", "upload", self._upload),
            ("GET", r"files/([^/]+)/content", "content", self._content),
            ("GET", r"files/([^/]+)", "file", self._file),
            ("DELETE", r"files/([^/]+)", "delete", self._delete),
            ("POST", r"batches", "create", self._create),
            ("GET", r"batches", "list", self._list),
            ("GET", r"batches/([^/]+)", "retrieve", self._retrieve),
            ("POST", r"batches/([^/]+)/cancel", "cancel", self._cancel),
        ]
        for method, pattern, step, answer in routes:
            found = re.fullmatch(pattern, path)
            if found is not None and request.method == method:
                self.steps.append(step)
                if self.on_request("before", step):
                    return _error("Try again later.", None, status=503)
                reply = answer(request, *found.groups())
                if self.on_request("after", step):
                    return _error("Try again later.", None, status=503)
                return reply
        return None

    # -- files -------------------------------------------------------------------------------------

    def _upload(self, request: Request) -> Reply:
        fields = _form(request)
        if fields is None or "file" not in fields:
            return _error("'file' is a required property", None)
        if fields.get("purpose", (None, b""))[1] != b"batch":
            return _error("'purpose' is wrong", "purpose")
        name, content = fields["file"]
        if len(content) > MAX_BYTES:
            return _error("File is too large.", "file", status=413)
        return Reply.of(self._add_file(content, name or "", "batch"))

    def _add_file(self, content: bytes, name: str, purpose: str) -> dict[str, Any]:
        entry = {
            "id": f"file-{next(self._numbers)}", "object": "file", "bytes": len(content),
            "created_at": int(time.time()), "filename": name, "purpose": purpose,
            "status": "processed", "expires_at": None, "status_details": None,
        }  # fmt: skip
        FileObject.model_validate(entry, strict=True)
        self.files[entry["id"]] = (entry, content)
        return entry

    def _file(self, request: Request, file: str) -> Reply:
        return Reply.of(self.files[file][0]) if file in self.files else _unknown("file")

    def _content(self, request: Request, file: str) -> Reply:
        if file not in self.files:
            return _unknown("file")
        return Reply(200, self.files[file][1], content_type="application/octet-stream")

    def _delete(self, request: Request, file: str) -> Reply:
        if self.files.pop(file, None) is None:
            return _unknown("file")
        entry = {"id": file, "object": "file", "deleted": True}
        FileDeleted.model_validate(entry, strict=True)
        return Reply.of(entry)

    # -- batches -----------------------------------------------------------------------------------

    def _create(self, request: Request) -> Reply:
        body = request.json
        if body.keys() - {"input_file_id", "endpoint", "completion_window", "metadata"}:
            return _error("Unknown parameter.", sorted(body)[0], code="unknown_parameter")
        if body.get("endpoint") != "/v1/chat/completions":
            return _error("Invalid value: 'endpoint'.", "endpoint")
        if body.get("completion_window") != "24h":
            return _error("Invalid value: 'completion_window'.", "completion_window")
        if body.get("input_file_id") not in self.files:
            return _error("No such file.", "input_file_id")
        metadata = body.get("metadata") or {}
        if len(metadata) > 16 or any(len(k) > 64 or len(v) > 512 for k, v in metadata.items()):
            return _error("Invalid 'metadata'.", "metadata")
        self.created += 1
        batch = {
            "id": f"batch_{next(self._numbers)}", "object": "batch",
            "endpoint": body["endpoint"], "errors": None, "input_file_id": body["input_file_id"],
            "completion_window": "24h", "status": "validating", "output_file_id": None,
            "error_file_id": None, "created_at": int(time.time()),
            "expires_at": int(time.time()) + 86400, "metadata": body.get("metadata"),
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            **dict.fromkeys(f"{name}_at" for name in (
                "in_progress", "finalizing", "completed", "failed", "expired", "cancelling",
                "cancelled")),
        }  # fmt: skip
        self.batches[batch["id"]] = batch
        return self._show(batch)

    def _list(self, request: Request) -> Reply:
        limit = int(request.query.get("limit", "20"))
        if not 1 <= limit <= 100:
            return _error("Invalid 'limit'.", "limit")
        newest = list(reversed(self.batches.values()))
        ids = [batch["id"] for batch in newest]
        first = ids.index(request.query["after"]) + 1 if "after" in request.query else 0
        page = newest[first : first + limit]
        for batch in page:
            Batch.model_validate(batch, strict=True)
        return Reply.of(
            {
                "object": "list",
                "data": page,
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
                "has_more": first + limit < len(newest),
            }
        )

    def _retrieve(self, request: Request, batch: str) -> Reply:
        if batch not in self.batches:
            return _unknown("batch")
        if not self.held:
            self._step(self.batches[batch])
        return self._show(self.batches[batch])

    def _cancel(self, request: Request, batch: str) -> Reply:
        if batch not in self.batches:
            return _unknown("batch")
        entry = self.batches[batch]
        if entry["status"] in ENDED:
            return _error(f"Cannot cancel a batch with status '{entry['status']}'.", None)
        self._set(entry, "cancelling")
        return self._show(entry)

    def _show(self, batch: dict[str, Any]) -> Reply:
        Batch.model_validate(batch, strict=True)
        return Reply.of(batch)

    def _set(self, batch: dict[str, Any], status: str) -> None:
        batch["status"] = status
        batch[f"{status}_at"] = int(time.time())

    def _step(self, batch: dict[str, Any]) -> None:
        """Take a batch one step on."""
        status = batch["status"]
        if status == "validating":
            self._validate(batch)
        elif status == "in_progress":
            self._answer(batch)
            self._looks[batch["id"]] += 1
            if self.ending == "expired" and self._looks[batch["id"]] >= self.end_after:
                self._finish(batch, "expired")
            elif not self._waiting[batch["id"]]:
                self._set(batch, "finalizing")
        elif status == "finalizing":
            self._finish(batch, "completed")
        elif status == "cancelling":
            self._finish(batch, "cancelled")

    def _validate(self, batch: dict[str, Any]) -> None:
        requests = _requests(self.files[batch["input_file_id"]][1])
        errors = _faults(requests)
        waiting = sum(
            b["request_counts"]["total"]
            for b in self.batches.values()
            if b is not batch and b["status"] not in ENDED
        )
        most = self.enqueued_requests
        if most is not None and waiting + len(requests) > most:
            errors = [_fault("token_limit_exceeded", "Enqueued token limit reached.")]
        if self.ending == "failed":
            errors = [_fault("invalid_json_line", "This line is not parseable.", line=1)]
        if errors:
            batch["errors"] = {"object": "list", "data": errors}
            self._set(batch, "failed")
            return
        batch["request_counts"]["total"] = len(requests)
        self._waiting[batch["id"]] = requests
        self._replies[batch["id"]] = ([], [])
        self._set(batch, "in_progress")

    def _answer(self, batch: dict[str, Any]) -> None:
        """Answer as many requests as are due."""
        assert self._server is not None, "call attach(server) first"
        waiting = self._waiting[batch["id"]]
        due = len(waiting) if self.per_look is None else min(self.per_look, len(waiting))
        outputs, errors = self._replies[batch["id"]]
        for request in waiting[:due]:
            reply = self._server.complete(request["body"])
            answer = {"status_code": reply.status, "request_id": "req", "body": reply.json}
            line = {**self._line(request), "response": answer, "error": None}
            (outputs if reply.status == 200 else errors).append(line)
        del waiting[:due]
        counts = batch["request_counts"]
        counts["completed"], counts["failed"] = len(outputs), len(errors)

    def _line(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"id": f"batch_req_{next(self._numbers)}", "custom_id": request["custom_id"]}

    def _finish(self, batch: dict[str, Any], status: str) -> None:
        outputs, errors = self._replies.get(batch["id"], ([], []))
        for request in self._waiting.get(batch["id"], []):
            message = "This request could not be executed before the completion window expired."
            error = {"code": f"batch_{status}", "message": message}
            errors.append({**self._line(request), "response": None, "error": error})
        random.Random(1).shuffle(outputs)
        for name, lines in (("output", outputs), ("error", errors)):
            if lines:
                content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
                content = self.mangle(content) if name == "output" else content
                entry = self._add_file(content, f"{batch['id']}_{name}.jsonl", "batch_output")
                batch[f"{name}_file_id"] = entry["id"]
        batch["request_counts"]["failed"] = len(errors)
        self._set(batch, status)


def _requests(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines() if line.strip()]


def _faults(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what OpenAI refuses in a file."""
    if not requests:
        return [_fault("empty_file", "The batch file is empty.")]
    if len(requests) > MAX_REQUESTS:
        return [_fault("too_many_tasks", "The batch file has too many requests.")]
    seen: set[str] = set()
    faults = []
    for line, request in enumerate(requests, 1):
        if request.keys() != {"custom_id", "method", "url", "body"}:
            faults.append(_fault("invalid_request", "Wrong fields.", line=line))
        elif len(request["custom_id"]) > 64 or request["custom_id"] in seen:
            faults.append(_fault("duplicate_custom_id", "The custom_id is not unique.", line=line))
        elif (request["method"], request["url"]) != ("POST", "/v1/chat/completions"):
            faults.append(_fault("mismatched_url", "The URL is not the batch's.", line=line))
        elif request["body"].get("stream"):
            faults.append(_fault("invalid_request", "No streams in a batch.", line=line))
        seen.add(str(request.get("custom_id")))
    if len({request["body"].get("model") for request in requests}) > 1:
        faults.append(_fault("mismatched_model", "A batch is of one model."))
    return faults


def _fault(code: str, message: str, line: int | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "line": line, "param": None}


def _form(request: Request) -> dict[str, tuple[str | None, bytes]] | None:
    """Return the fields of a form of several parts, each with its file name and content."""
    found = re.search(r'boundary="?([^";]+)', request.headers.get("content-type", ""))
    if found is None:
        return None
    fields: dict[str, tuple[str | None, bytes]] = {}
    for part in request.body.split(b"--" + found[1].encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'[; ]name="([^"]*)"', head)
        file = re.search(rb'filename="([^"]*)"', head)
        assert name is not None
        fields[name[1].decode()] = (file[1].decode() if file else None, content[:-2])
    return fields


def _error(message: str, param: str | None, *, code: str | None = None, status: int = 400) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Reply.of({"error": error}, status)


def _unknown(what: str) -> Reply:
    return _error(f"No such {what}.", "id", status=404)
