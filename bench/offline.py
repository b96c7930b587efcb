"""How fast a big run is without a server: the offline client against `vllm serve`, same weights.

    python bench/offline.py WEIGHTS --url http://127.0.0.1:8000/v1 --model NAME [--in-flight 32]

The server is one that runs, with the options that `VLLM_OFFLINE_ARGS` holds for the offline
engine; its key is in `VLLM_API_KEY`. Both get the same conversations, by turns, so that what else
the machine does falls on both. The one number to go by is the last: offline tokens a second over
the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time

from assistants.address import Address
from assistants.clients.offline import offline_client
from assistants.clients.openai import OpenAIClient
from assistants.messages import Message, Sampling


async def speed(client: OpenAIClient, in_flight: int, tokens: int, turn: int) -> float:
    """Answer tokens a second with ``in_flight`` calls at once."""
    sampling = Sampling(temperature=0, max_tokens=tokens)
    system = Message("system", "You are a patient teacher.")
    asked = [Message("user", f"Tell {turn} and {i} facts of rain.") for i in range(in_flight)]
    start = time.perf_counter()
    answers = await asyncio.gather(*(client.complete([system, a], sampling) for a in asked))
    return sum(a.usage.output_tokens or 0 for a in answers) / (time.perf_counter() - start)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights")
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()

    async def endpoint() -> Address:
        return Address(args.url, os.environ.get("VLLM_API_KEY"))

    clients = {
        "server": OpenAIClient(f"vllm:{args.model}", endpoint=endpoint),
        "offline": offline_client(args.weights),
    }
    found: dict[str, list[float]] = {name: [] for name in clients}
    for turn in range(args.turns + 1):
        for name, client in clients.items():
            measured = await speed(client, args.in_flight, args.tokens, turn)
            if turn:  # the first is to warm up
                found[name].append(measured)
    for name, speeds in found.items():
        print(f"{name:8} {statistics.median(speeds):8.1f} tokens/s ({args.in_flight} in flight)")
        await clients[name].aclose()
    ratios = [o / s for o, s in zip(found["offline"], found["server"], strict=True)]
    print(f"offline over server: {statistics.median(ratios):.2f} (median of {args.turns} turns)")


if __name__ == "__main__":
    asyncio.run(main())
