"""What a vLLM server tells of itself: read strictly, and unknown where it tells nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants import OpenAIClient, ScriptedClient
from assistants.clients.vllm import metrics as metrics_module
from assistants.clients.vllm.metrics import (
    MAX_BYTES,
    Metrics,
    PrefixCache,
    Sample,
    aggregate,
    prefix_cache_usage,
    read_metrics,
    read_prefix_cache,
    read_prefix_caches,
    samples,
)
from assistants.errors import MalformedReplyError, ReplyTooLargeError
from support.faulty_replies import Step, http
from support.faulty_server import FaultyServer, Request, at

PAGE = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="smol"} 3.0
vllm:kv_cache_usage_perc{engine="0",model_name="smol"} 0.25
vllm:prefix_cache_queries_total{engine="0",model_name="smol"} 1000.0
vllm:prefix_cache_queries_created{engine="0",model_name="smol"} 1.795385014378e+09
vllm:prefix_cache_hits_total{engine="0",model_name="smol"} 820.0
vllm:cache_config_info{block_size="128",num_gpu_blocks="364",kv_cache_size_tokens="46592"} 1.0
python_gc_objects_collected_total{generation="0"} 1161.0 1395066363000
"""


class Telling(FaultyServer):
    """Its metrics are ``page``."""

    page: bytes = PAGE.encode()

    def _steps(self, request: Request) -> Sequence[Step]:
        if request.path == "/metrics":
            return [http(self.page)]
        return super()._steps(request)


def client_of(server: FaultyServer) -> OpenAIClient:
    return OpenAIClient("vllm:smol", endpoint=at(server.url, "a-key-of-the-server"))


async def test_what_a_server_tells() -> None:
    """Asked with its key, at the address beside the API, by a request without a body."""
    with Telling() as server:
        client = client_of(server)
        told = await read_metrics(client)
        assert await read_prefix_caches([client]) == {"vllm:smol": PrefixCache(1000, 820)}
        await client.aclose()
    request = server.requests[0]
    assert (request.path, request.body) == ("/metrics", b"")
    assert request.headers["authorization"] == "Bearer a-key-of-the-server"
    assert told == Metrics(PrefixCache(1000, 820), 3, 0.25, 46592, 364, 128)


async def test_who_does_not_tell() -> None:
    """No such page, a page of something else, a model without a server: unknown, and no error."""
    with Telling() as server:
        server.page = b"http_requests_total 12\nprefix_cache_hits_total 1\n"
        client = client_of(server)
        assert await read_metrics(client) == Metrics()
        server.page = b"<html>"
        assert await read_prefix_cache(client) is None
        assert await read_prefix_caches([client]) == {}
        await client.aclose()
        rude = OpenAIClient("vllm:smol", endpoint=at(server.url_of("404")))
        assert await read_prefix_cache(rude) is None
        await rude.aclose()
    gone = OpenAIClient("vllm:smol", endpoint=at("http://127.0.0.1:9/v1"))
    assert await read_prefix_cache(gone) is None
    await gone.aclose()
    assert await read_metrics(ScriptedClient(lambda messages, sampling: "x")) == Metrics()


async def test_a_page_that_hangs(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds nobody up for long, however many servers do."""
    assert metrics_module.TIMEOUT_S == 5
    monkeypatch.setattr(metrics_module, "TIMEOUT_S", 0.2)
    url = server.url_of("stall before headers")
    clients = [OpenAIClient(f"vllm:{n}", endpoint=at(url)) for n in range(10)]
    start = time.monotonic()
    assert await read_prefix_caches(clients) == {}
    assert time.monotonic() - start < 1.5
    for client in clients:
        await client.aclose()


@pytest.mark.parametrize(
    "page",
    [b"\xff\xfe", b"vllm:x{a=1} 2", b'vllm:x{a="1"', b'vllm:x{a="1",a="2"} 1', b"vllm:x one",
     b"vllm:x 0x10", b"vllm:x 1_000", b"vllm:x", b"1x 2", b'{"json": true}'],
)  # fmt: skip
async def test_a_broken_page(page: bytes) -> None:
    """Is an error that names the line, and no number is taken from the rest of it."""
    with Telling() as server:
        server.page = PAGE.encode() + page
        client = client_of(server)
        with pytest.raises(MalformedReplyError, match="text format"):
            await read_metrics(client)
        await client.aclose()


async def test_a_page_without_end() -> None:
    """Is refused before it fills the memory."""
    with Telling() as server:
        server.page = b"#" * (MAX_BYTES + 1)
        client = client_of(server)
        with pytest.raises(ReplyTooLargeError):
            await read_metrics(client)
        await client.aclose()


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """With ``ValueError``, and nothing else."""
    with contextlib.suppress(ValueError):
        assert all(isinstance(each, Sample) for each in samples(text))


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(max_size=20), max_size=4
    ),
    st.floats(allow_nan=False),
)
def test_what_was_written_is_read(labels: dict[str, str], value: float) -> None:
    """Quotes, backslashes and line ends in a label come back as they were."""
    escaped = {
        k: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for k, v in labels.items()
    }
    written = ",".join(f'{k}="{v}"' for k, v in escaped.items())
    number = repr(value).replace("inf", "Inf")
    (found,) = samples(f"vllm:x{{{written}}} {number}")
    assert found == Sample("vllm:x", labels, value)


def test_several_engines_are_one_server() -> None:
    """Counts and sizes are added up; what is used is that of the fullest."""
    page = PAGE + PAGE.replace('engine="0"', 'engine="1"').replace("0.25", "0.5")
    told = aggregate(samples(page))
    assert told == Metrics(PrefixCache(2000, 1640), 6, 0.5, 93184, 728, 128)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1"])
def test_a_count_that_is_none(value: str) -> None:
    """Is unknown."""
    page = PAGE.replace("820.0", value)
    assert aggregate(samples(page)).prefix_cache is None


def test_the_manifest_tells_of_the_time_between() -> None:
    """Queries and hits of a run, and their rate; nothing of a server that was started anew."""
    before = {"a": PrefixCache(100, 50), "b": PrefixCache(9, 9), "c": PrefixCache(0, 0)}
    after: dict[str, Any] = {"a": PrefixCache(300, 210), "b": PrefixCache(4, 1)}
    after["c"] = PrefixCache(0, 0)
    assert prefix_cache_usage(before, after) == [
        {"model": "a", "queries": 200, "hits": 160, "rate": 0.8},
        {"model": "c", "queries": 0, "hits": 0, "rate": None},
    ]
    assert prefix_cache_usage(before, {}) == []
