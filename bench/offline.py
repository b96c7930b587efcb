"""Many questions at once on vLLM in this machine, against one after the other.

    VLLM_CPU_KVCACHE_SPACE=1 python bench/offline.py vllm-offline:MODEL [--questions 32]

As many questions twice, of one persona and with short answers: first each when the one
before is answered, then all at once, which the engine works on together. No question is asked
again, so that none is found in the cache. The ratio is of seconds a token of the answers, some of
which end early. The promise, for ``--check``: all at once take less than half as long.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

from assistants import Message, Sampling, connect
from assistants.clients import Client

PERSONA = Message("system", "You tell stories, and never come to an end.")


async def ask(client: Client, questions: Sequence[str], at_once: int, tokens: int) -> list[int]:
    """The number of tokens of each answer; ``at_once`` of them are in flight."""
    gate = asyncio.Semaphore(at_once)
    sampling = Sampling(temperature=0, max_tokens=tokens)

    async def one(question: str) -> int:
        async with gate:
            completion = await client.complete([PERSONA, Message("user", question)], sampling)
            return completion.usage.output_tokens or 0

    return await asyncio.gather(*map(one, questions))


async def main(chosen: argparse.Namespace) -> int:
    client = connect(chosen.model)
    found = {}
    try:
        await ask(client, ["What is the time?"], 1, chosen.tokens)  # the start is not counted
        print(
            f"{chosen.model}: {chosen.questions} questions, answers of up to {chosen.tokens} tokens"
        )
        print(f"{'':20}{'seconds':>10}{'':9}{'tokens':>10}")
        for name, at_once in (("one after the other", 1), ("all at once", chosen.questions)):
            weather = "rain" if at_once == 1 else "snow"
            questions = [f"Tell of {i} birds in the {weather}." for i in range(chosen.questions)]
            start = time.perf_counter()
            answered = await ask(client, questions, at_once, chosen.tokens)
            seconds = time.perf_counter() - start
            found[name] = seconds / max(1, sum(answered))
            ratio = found[name] / found["one after the other"]
            print(f"{name:20}{seconds:10.1f}{ratio:8.2f}x{sum(answered):10,}", flush=True)
    finally:
        await client.aclose()
    alone, together = found.values()
    return int(chosen.check and together >= alone / 2)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("model", help="vllm-offline:NAME, or a folder in the place of the name")
    options.add_argument("--questions", type=int, default=32)
    options.add_argument("--tokens", type=int, default=24, help="of each answer, at the most")
    options.add_argument("--check", action="store_true")
    sys.exit(asyncio.run(main(options.parse_args())))
