"""Savings of a memory are counted net: its own calls, and what the server's cache loses."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from assistants.analysis import MemoryTurn, memory_savings, memory_turns
from assistants.messages import Completion, Message, SideCall, TechniqueRecord, Transcript, Usage
from assistants.models import Model, Prices

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from techniques import broken_promises

SIDE = ("m:small", Usage(300, 40))
TURNS = (
    MemoryTurn(100, 100, first_token_s=1.0),
    MemoryTurn(400, 250, 150, 50, (SIDE,), 2.0, first_token_s=2.0),
    MemoryTurn(800, 300, 500, 200, (SIDE,), 2.0, first_token_s=1.0),
)


def test_hand_count() -> None:
    """Every figure of three questions, computed by hand.

    Saved: 0 + 150 + 500 = 650 input tokens; two calls of 340 tokens took 680; net -30. Up to each
    question: 0, -190, -30. Read anew: 100, 200, 100 against 100, 250, 300: 250 fewer.
    Dollars: whole 100, 250 + 150/10, 300 + 500/10 input tokens at $1 a million; sent 100,
    200 + 50/10, 100 + 200/10; calls 2 x (300 + 2 x 40) at a tenth of that.
    Seconds: 400 tokens were read in 4 s, so 250 fewer are 2.5 s; calls took 4 s.
    """
    models = {
        "m:big": Model("m:big", prices=Prices(input=1.0, output=2.0, cached=0.1)),
        "m:small": Model("m:small", prices=Prices(input=0.1, output=0.2)),
    }
    saved = memory_savings(TURNS, models["m:big"], models.__getitem__)
    assert (saved.input_tokens, saved.side_tokens, saved.net_tokens) == (650, 680, -30)
    assert saved.net_by_turn == (0, -190, -30)
    assert saved.break_even_turn is None
    assert saved.cache_loss == -250
    assert saved.usd == pytest.approx((715 - 425 - 76) / 1e6)
    assert saved.seconds == pytest.approx(2.5 - 4.0)
    more = memory_savings([*TURNS, MemoryTurn(900, 300, 890, 200)])
    assert (more.net_tokens, more.break_even_turn) == (570, 4)
    assert more.cache_loss == -250 + 90
    assert str(more) == (
        "570 tokens saved net (1,250 input tokens, 680 for notes), from question 4 on; "
        "-160 more read anew."
    )


def test_what_is_unknown_stays_unknown() -> None:
    """No count, no price and no clock make no zero."""
    uncounted = replace(TURNS[1], side_calls=(("m:small", Usage()),), side_seconds=None)
    saved = memory_savings([uncounted])
    assert saved.input_tokens == 150
    assert (saved.side_tokens, saved.net_tokens, saved.usd, saved.seconds) == (None,) * 4
    assert (saved.break_even_turn, saved.net_by_turn) == (None, None)
    assert "not counted" in str(saved)


def transcript(*contents: str, answer: str, record: TechniqueRecord | None) -> Transcript:
    """Return a transcript whose messages are a system message, questions and answers."""
    roles = ("user", "assistant")
    messages = [Message("system", "s" * 40)]
    messages += [Message(roles[i % 2], text) for i, text in enumerate(contents)]
    return Transcript(tuple(messages), Completion(answer), (record,) if record else ())


def test_turns_of_transcripts() -> None:
    """Four characters a token where nobody counted; a call is paid once, a failure saves none."""

    def call(second: str) -> SideCall:
        return SideCall("m:small", Completion("sum", started_at=second, usage=Usage(30, 4)))

    def record(before: int, after: int, *calls: SideCall) -> TechniqueRecord:
        return TechniqueRecord(
            "memory", {"characters_before": before, "characters_after": after}, calls
        )

    turns = memory_turns(
        [
            transcript("q" * 40, answer="a" * 400, record=record(0, 0)),
            transcript("N" * 80 + "q" * 40, answer="a" * 400, record=record(440, 80, call("1"))),
            transcript(
                "N" * 80 + "M" * 80 + "q" * 40,
                answer="a" * 400,
                record=record(880, 160, call("1"), call("2")),
            ),
            transcript(
                "q" * 400, answer="a", record=TechniqueRecord("memory", failure="it fell over")
            ),
        ]
    )
    assert [turn.sent for turn in turns] == [20, 40, 60, 110]
    assert [turn.full for turn in turns] == [20, 130, 240, 110]
    # With the whole history each question begins with the one before and its answer.
    assert [turn.full_cached for turn in turns] == [0, 120, 230, 110]
    # The system message, and the notes that were there before.
    assert [turn.sent_cached for turn in turns] == [0, 10, 30, 10]
    assert [turn.side_tokens for turn in turns] == [0, 34, 34, 0]
    assert memory_turns([]) == []


def test_the_servers_counts_go_first() -> None:
    """What was not sent has as many characters a token as the answers."""
    first = transcript("q" * 40, answer="a" * 200, record=None)
    first = replace(first, completion=Completion("a" * 200, usage=Usage(16, 110, None, 10)))
    second = transcript(
        "q" * 40,
        answer="a",
        record=TechniqueRecord("memory", {"characters_before": 240, "characters_after": 0}),
    )
    second = replace(second, completion=Completion("a", usage=Usage(20, 1)))
    one, two = memory_turns([first, second])
    assert (one.sent, one.full) == (16, 16)
    assert (two.sent, two.full) == (20, 20 + 240 // 2)


def test_simulated_savings_match_a_count_and_stale_facts_are_caught(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The short form of ``bench/techniques.py --check``."""
    assert broken_promises(12) == []
    assert "unfaithful summary: 12 of 12 graded 0.0" in capsys.readouterr().out
