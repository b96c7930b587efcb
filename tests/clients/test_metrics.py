"""Metrics of a vLLM server: read strictly, and unknown where the server reports none."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants import OpenAIClient, ScriptedClient
from assistants.clients.vllm import metrics as metrics_module
from assistants.clients.vllm.metrics import (
    MAX_BYTES,
    MAX_LINE_CHARS,
    Metrics,
    PrefixCache,
    parse_metrics,
    prefix_cache_usage,
    read_metrics,
    read_prefix_cache,
    read_prefix_caches,
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


class MetricsServer(FaultyServer):
    """A server whose metrics are ``page``."""

    page: bytes = PAGE.encode()

    def _steps(self, request: Request) -> Sequence[Step]:
        if request.path == "/metrics":
            return [http(self.page)]
        return super()._steps(request)


def client_of(server: FaultyServer) -> OpenAIClient:
    return OpenAIClient("vllm:smol", endpoint=at(server.url, "a-key-of-the-server"))


async def test_metrics_are_read_beside_the_api() -> None:
    """The request has the server's key, no body, and the path beside the base URL."""
    with MetricsServer() as server:
        client = client_of(server)
        result = await read_metrics(client)
        assert await read_prefix_caches([client]) == {"vllm:smol": PrefixCache(1000, 820)}
        await client.aclose()
    request = server.requests[0]
    assert (request.path, request.body) == ("/metrics", b"")
    assert request.headers["authorization"] == "Bearer a-key-of-the-server"
    assert result == Metrics(PrefixCache(1000, 820), 3, 0.25, 46592, 364, 128)


async def test_missing_metrics_are_unknown() -> None:
    """No such page, a page of something else, or a model without a server is not an error."""
    with MetricsServer() as server:
        server.page = b"http_requests_total 12\nprefix_cache_hits_total 1\n"
        client = client_of(server)
        assert await read_metrics(client) == Metrics()
        server.page = b"<html>"
        assert await read_prefix_cache(client) is None
        assert await read_prefix_caches([client]) == {}
        await client.aclose()
        faulty = OpenAIClient("vllm:smol", endpoint=at(server.url_of("404")))
        assert await read_prefix_cache(faulty) is None
        await faulty.aclose()
    gone = OpenAIClient("vllm:smol", endpoint=at("http://127.0.0.1:9/v1"))
    assert await read_prefix_cache(gone) is None
    await gone.aclose()
    assert await read_metrics(ScriptedClient(lambda messages, sampling: "x")) == Metrics()


async def test_one_time_limit_for_all_servers(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten servers that do not answer take no longer than one."""
    assert metrics_module.TIMEOUT_S == 5
    monkeypatch.setattr(metrics_module, "TIMEOUT_S", 0.2)
    url = server.url_of("stall before headers")
    clients = [OpenAIClient(f"vllm:{n}", endpoint=at(url)) for n in range(10)]
    assert await read_prefix_caches(clients) == {}
    assert len(server.requests) <= 2
    for client in clients:
        await client.aclose()


@pytest.mark.parametrize(
    "page",
    [b"\xff\xfe", b"vllm:x{a=1} 2", b'vllm:x{a="1"', b'vllm:x{a="1",a="2"} 1', b"vllm:x one",
     b"vllm:x 0x10", b"vllm:x 1_000", b"vllm:x", b"1x 2", b'{"json": true}',
     b"vllm:x" + b" " * MAX_LINE_CHARS + b"1"],
)  # fmt: skip
async def test_a_broken_page_is_refused(page: bytes) -> None:
    """One line that cannot be parsed is an error; no number is taken from the other lines."""
    with MetricsServer() as server:
        server.page = PAGE.encode() + page
        client = client_of(server)
        with pytest.raises(MalformedReplyError, match="text format"):
            await read_metrics(client)
        await client.aclose()


async def test_a_large_page_is_refused() -> None:
    """A page over the size limit is refused before it fills the memory."""
    with MetricsServer() as server:
        server.page = b"#" * (MAX_BYTES + 1)
        client = client_of(server)
        with pytest.raises(ReplyTooLargeError):
            await read_metrics(client)
        await client.aclose()


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Any text gives metrics or ``ValueError``, and no other error."""
    with contextlib.suppress(ValueError):
        assert isinstance(parse_metrics(text), Metrics)


def test_engines_are_summed() -> None:
    """Counts and sizes are added up; the used share is that of the fullest engine."""
    page = PAGE + PAGE.replace('engine="0"', 'engine="1"').replace("0.25", "0.5")
    assert parse_metrics(page) == Metrics(PrefixCache(2000, 1640), 6, 0.5, 93184, 728, 128)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1"])
def test_an_invalid_count_is_unknown(value: str) -> None:
    """A count that is not finite, or negative, is ``None``."""
    page = PAGE.replace("820.0", value)
    assert parse_metrics(page).prefix_cache is None


def test_usage_is_the_difference_of_two_readings() -> None:
    """Queries, hits and rate of a run; a server that restarted is left out."""
    before = {"a": PrefixCache(100, 50), "b": PrefixCache(9, 9), "c": PrefixCache(0, 0)}
    after: dict[str, Any] = {"a": PrefixCache(300, 210), "b": PrefixCache(4, 1)}
    after["c"] = PrefixCache(0, 0)
    assert prefix_cache_usage(before, after) == [
        {"model": "a", "queries": 200, "hits": 160, "rate": 0.8},
        {"model": "c", "queries": 0, "hits": 0, "rate": None},
    ]
    assert prefix_cache_usage(before, {}) == []
