"""Attribution on a real vLLM: the planted sentence is found, the numbers are the model's own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from assistants import Experiment, Message, connect
from assistants.clients import answer_logprobs, answer_tokens, prompt_tokens
from support.template_server import template
from support.vllm_serving import Served

PLANTED = "The password of the vault is BANANA."
PERSONA = f"You are a friendly assistant. You like walks by the sea.\n\n- {PLANTED}\n- Be polite."
CASES = ["What is the password of the vault?", "Which password opens the vault?"]

ANSWERS = [
    ("Be brief.", "Who are you?", "I am Smol, a small language model that runs on any machine."),
    ("", "Tell me a story.", "Once upon a time there was a king who had three daughters."),
    (PERSONA, CASES[0], "The password of the vault is BANANA, and nobody else knows it but me."),
]


async def test_the_planted_sentence_is_on_top(here: Path, server: Served) -> None:
    """It moves the answers most, and no other sentence comes near it; in each case and in all."""
    experiment = Experiment.define(
        "planted",
        personas=[{"name": "guard", "system_prompt": PERSONA}],
        models=[f"vllm:{server.model}"],
        cases=CASES,
        sampling={"temperature": 0, "max_tokens": 24},
    )
    run = await experiment.run(on_progress=lambda progress: None)
    found = await run.sentence_attribution("guard")
    assert found.method == "log-probability"
    top = found.totals.sort_values("effect", ascending=False)
    assert top.iloc[0]["text"] == PLANTED
    assert top.iloc[0]["effect"] > 3 * top.iloc[1]["effect"]
    for _, case in found.trials.groupby("case"):
        assert case.loc[case["effect"].idxmax(), "text"] == PLANTED


async def test_it_is_what_transformers_computes(here: Path, server: Served, weights: Path) -> None:
    """The same tokens, and log-probabilities as near to exact ones as rounding lets them be.

    Exact is the server's own weights in 32 bits. The server rounds to bfloat16 after each step, and
    so does transformers when it is told to, at other places: neither may lie much farther from the
    exact ones than the other. (That is 0.1 nats a token, about. A server in 32 bits agrees to
    5e-5, which tells that nothing but rounding is between them.)
    """
    import torch

    ours, asked = await told(server, weights)
    exact = computed(weights, torch.float32, asked)
    rounded = computed(weights, torch.bfloat16, asked)
    assert spread(ours, exact) < 2 * spread(rounded, exact)
    assert abs(sum(ours) - sum(exact)) / len(exact) < 0.05


async def test_in_32_bits_it_is_what_transformers_computes(
    here: Path, exact: Served, weights: Path
) -> None:
    """Each token of each answer to 1e-2 nats, on the same weights."""
    import torch

    ours, asked = await told(exact, weights, template("chatml"))
    theirs = computed(weights, torch.float32, asked)
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 1e-2


async def told(
    server: Served, weights: Path, chat_template: str | None = None
) -> tuple[list[float], list[tuple[Any, Any]]]:
    """Return log-probabilities of each token of the answers, and the tokens of each prompt."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights)
    client = connect(f"vllm:{server.model}")
    ours, asked = [], []
    try:
        for system, question, answer in ANSWERS:
            messages = [Message("system", system), Message("user", question)]
            said = await answer_tokens(client, messages, answer, is_finished=True)
            prompt = await prompt_tokens(client, messages)
            ours += await answer_logprobs(client, prompt, said)
            asked.append((prompt, said))
            turns = [{"role": m.role, "content": m.content} for m in messages]
            text = tokenizer.apply_chat_template(
                turns, chat_template=chat_template, add_generation_prompt=True, tokenize=False
            )
            assert prompt == tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
            alone = tokenizer(answer, add_special_tokens=False)["input_ids"]
            assert said == (*alone, tokenizer.eos_token_id)
    finally:
        await client.aclose()
    return ours, asked


def computed(weights: Path, dtype: Any, asked: list[tuple[Any, Any]]) -> list[float]:
    """Return the log-probabilities that transformers gives each token of the answers."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(weights, dtype=dtype)
    worth = []
    for prompt, said in asked:
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *said]])).logits[0]
        scores = logits.float().log_softmax(-1)
        worth += [float(scores[len(prompt) + at - 1, token]) for at, token in enumerate(said)]
    return worth


def spread(some: list[float], others: list[float]) -> float:
    """Return the root mean square of the differences."""
    squares = [(a - b) ** 2 for a, b in zip(some, others, strict=True)]
    return math.sqrt(sum(squares) / len(squares))
