"""Prompts that begin alike, on an embedded model: what is read twice, with and without a cache.

    python bench/prefixes.py [smollm2] [--tokens 16] [--check]

The questions of six personas, four at a time and at temperature 0, in three ways:

- **experiment**: persona by persona, as a run asks them
- **case by case**: all personas of a question, then the next one
- **conversation**: three turns of all six personas, more than there are slots, as in ``Compare``

"read" are the tokens of prompts that had to be computed, "found" those that were in a slot or in
the cache. "same" says how many answers are word for word those without the cache: a prompt whose
beginning is found is computed in other pieces, whose rounding differs, so that at temperature 0 an
answer may take another turn. The promise, for ``--check``: the cache reads fewer tokens in all.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from assistants.clients import fetch_weights, measure_threads, stored_thread_benchmark
from assistants.clients.llamacpp.process import PROMPT_CACHE_MIB, SLOTS, LlamaProcess
from assistants.personas import Library
from assistants.utils import Address

PERSONAS = ("none", "math", "physics", "science", "art", "history")
QUESTIONS = (
    "Write a simple Python script explaining the inverse square law.",
    "Why is the sky blue?",
    "What is a tree?",
)

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Reply:
    text: str
    read: int
    found: int
    written: int


@dataclass(frozen=True)
class Result:
    seconds: float
    replies: list[Reply]

    @property
    def read(self) -> int:
        return sum(reply.read for reply in self.replies)

    def row(self, label: str, other: Result) -> str:
        found = sum(reply.found for reply in self.replies)
        speed = sum(reply.written for reply in self.replies) / self.seconds
        pairs = zip(self.replies, other.replies, strict=True)
        same = sum(mine.text == its.text for mine, its in pairs)
        ratio = other.seconds / self.seconds
        return (
            f"{label:28}{self.read:8,}{found:8,}{self.seconds:9.1f}{speed:10.1f}{ratio:8.2f}x"
            f"{same:6} of {len(self.replies)}"
        )


def begin(persona: str) -> Messages:
    return [{"role": "system", "content": Library.default().find(persona).text or ""}]


def ask(address: Address, messages: Messages, tokens: int) -> Reply:
    url = urlsplit(address.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=600)
    body = {"messages": messages, "max_tokens": tokens, "temperature": 0}
    headers = {"Authorization": f"Bearer {address.key}", "Content-Type": "application/json"}
    try:
        connection.request("POST", f"{url.path}/chat/completions", json.dumps(body), headers)
        reply = json.load(connection.getresponse())
    finally:
        connection.close()
    times = reply["timings"]
    text = reply["choices"][0]["message"]["content"]
    return Reply(text, times["prompt_n"], times["cache_n"], times["predicted_n"])


def ask_all(address: Address, prompts: Sequence[Messages], tokens: int) -> list[Reply]:
    with ThreadPoolExecutor(SLOTS) as pool:
        return list(pool.map(lambda prompt: ask(address, prompt, tokens), prompts))


def converse(address: Address, tokens: int) -> list[Reply]:
    """All personas answer a question, then the next one, each after its own answers."""
    talks = [begin(persona) for persona in PERSONAS]
    replies: list[Reply] = []
    for question in QUESTIONS:
        for talk in talks:
            talk.append({"role": "user", "content": question})
        turn = ask_all(address, talks, tokens)
        for talk, reply in zip(talks, turn, strict=True):
            talk.append({"role": "assistant", "content": reply.text})
        replies += turn
    return replies


def measured(name: str, threads: int, cache: int, way: str, tokens: int) -> Result:
    """A child of its own, so that none finds what another way has left."""
    child = LlamaProcess(name, threads=threads, prompt_cache_mib=cache)
    try:
        ask(child.address, [{"role": "user", "content": "Hi"}], 1)  # loads the weights
        start = time.perf_counter()
        if way == "conversation":
            replies = converse(child.address, tokens)
        else:
            cells = [(p, q) for p in PERSONAS for q in QUESTIONS]
            if way == "case by case":
                cells.sort(key=lambda cell: QUESTIONS.index(cell[1]))
            prompts = [[*begin(p), {"role": "user", "content": q}] for p, q in cells]
            replies = ask_all(child.address, prompts, tokens)
        return Result(time.perf_counter() - start, replies)
    finally:
        child.stop()


def main(chosen: argparse.Namespace) -> int:
    fetch_weights(chosen.model)
    threads = (stored_thread_benchmark(chosen.model) or measure_threads(chosen.model)).threads
    print(f"{chosen.model}, threads: {threads}, in flight: {SLOTS}")
    print(f"{'':28}{'read':>8}{'found':>8}{'seconds':>9}{'tokens/s':>10}{'faster':>9}  same")
    reads = [0, 0]
    for way in ("experiment", "case by case", "conversation"):
        without, cached = (
            measured(chosen.model, threads, cache, way, chosen.tokens)
            for cache in (0, PROMPT_CACHE_MIB)
        )
        print(without.row(f"{way}, no cache", without), flush=True)
        print(cached.row(f"{way}, {PROMPT_CACHE_MIB} MiB", without), flush=True)
        reads = [reads[0] + without.read, reads[1] + cached.read]
    return int(chosen.check and reads[1] >= reads[0])


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("model", nargs="?", default="smollm2", help="an embedded model")
    options.add_argument("--tokens", type=int, default=16, help="of each answer")
    options.add_argument("--check", action="store_true")
    sys.exit(main(options.parse_args()))
