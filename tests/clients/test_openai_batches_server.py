"""The tests' server of files and batches is what the official SDK thinks OpenAI's is."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from support.openai_batches import OpenAIBatches
from support.openai_server import OpenAIServer

MODEL = "gpt-6-luna"


@pytest.fixture
def batches() -> OpenAIBatches:
    return OpenAIBatches()


@pytest.fixture
def sdk(batches: OpenAIBatches) -> Iterator[openai.OpenAI]:
    with OpenAIServer(routes=[batches]) as server:
        batches.attach(server)
        with openai.OpenAI(base_url=server.url, api_key=server.key, max_retries=0) as client:
            yield client


def line(number: int, **more: Any) -> bytes:
    body = {"model": MODEL, "messages": [{"role": "user", "content": f"Question {number}"}]}
    request = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions"}
    return json.dumps({**request, "body": {**body, **more}}).encode() + b"\n"


def started(sdk: openai.OpenAI, content: bytes) -> openai.types.Batch:
    file = sdk.files.create(file=("in.jsonl", io.BytesIO(content)), purpose="batch")
    assert sdk.files.retrieve(file.id).bytes == len(content)
    assert sdk.files.content(file.id).read() == content
    return sdk.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
        metadata={"mine": "1"},
    )  # fmt: skip


def ended(sdk: openai.OpenAI, batch: openai.types.Batch) -> openai.types.Batch:
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        batch = sdk.batches.retrieve(batch.id)
    return batch


def lines(sdk: openai.OpenAI, file: str | None) -> dict[str, Any]:
    assert file is not None
    entries = [json.loads(text) for text in sdk.files.content(file).text.splitlines()]
    return {entry["custom_id"]: entry for entry in entries}


def test_files_and_batches_by_the_official_sdk(sdk: openai.OpenAI) -> None:
    """A batch goes through its states; answers lie in one file, refusals in another."""
    batch = ended(sdk, started(sdk, b"".join(map(line, range(20))) + line(20, nonsense=1)))
    assert batch.status == "completed"
    assert batch.metadata == {"mine": "1"}
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 21, "completed": 20, "failed": 1}
    answers = lines(sdk, batch.output_file_id)
    assert list(answers) != sorted(answers, key=lambda name: int(name[1:]))
    body = answers["r3"]["response"]["body"]
    completion = openai.types.chat.ChatCompletion.model_validate(body)
    assert completion.choices[0].message.content == "Question 3"
    refused = lines(sdk, batch.error_file_id)["r20"]["response"]
    assert refused["status_code"] == 400
    assert [b.id for b in sdk.batches.list(limit=1)] == [batch.id]
    assert sdk.files.delete(batch.input_file_id).deleted


def test_a_wrong_file_fails_the_batch(sdk: openai.OpenAI) -> None:
    """Two requests of one name are refused, with the line."""
    batch = ended(sdk, started(sdk, line(1) + line(1)))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert (batch.errors.data[0].code, batch.errors.data[0].line) == ("duplicate_custom_id", 2)


def test_a_cancelled_batch_keeps_what_it_has(sdk: openai.OpenAI, batches: OpenAIBatches) -> None:
    """What was answered by then is in the output file, the rest in the error file."""
    batches.per_look = 2
    batch = started(sdk, b"".join(map(line, range(5))))
    for _ in range(2):
        batch = sdk.batches.retrieve(batch.id)
    batch = ended(sdk, sdk.batches.cancel(batch.id))
    assert batch.status == "cancelled"
    assert len(lines(sdk, batch.output_file_id)) == 2
    errors = lines(sdk, batch.error_file_id)
    assert {error["error"]["code"] for error in errors.values()} == {"batch_cancelled"}
    assert len(errors) == 3


def test_unknown_things_are_refused(sdk: openai.OpenAI) -> None:
    """A batch of no file, and a file that is not there, are errors of the SDK's own types."""
    with pytest.raises(openai.NotFoundError):
        sdk.files.content("file-99")
    with pytest.raises(openai.BadRequestError):
        sdk.batches.create(
            input_file_id="file-99", endpoint="/v1/chat/completions", completion_window="24h"
        )
