"""What is said of an answer besides its text: nothing that was not measured."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.assistant import Assistant
from assistants.clients import connect
from assistants.messages import Completion, Usage
from assistants.personas import Persona
from assistants.widgets.chat.answer_stats import answer_facts, tokens_per_second, total_facts
from assistants.widgets.chat.turns import Answer

SOMEBODY = Assistant(Persona("kind", "Be kind."), connect("echo"))


def answered(
    tokens: int | None, first: float | None, total: float | None, thought: int | None = None,
    **more: Any,
) -> Answer:  # fmt: skip
    """An answer with so many output tokens, of which so many were thought; times in seconds."""
    usage = Usage(20, tokens, None, thought)
    done = Completion("Yes.", usage=usage, first_token_s=first, total_s=total, **more)
    return Answer(SOMEBODY, (), text="Yes.", state="done", completion=done)


@pytest.mark.parametrize(
    ("answer", "speed"),
    [
        (answered(101, 1.0, 2.0), 100),
        (answered(2_000, 19.0, 20.0, 1_899), 100),  # thought for 19 s, and nobody saw it
        (answered(2_001, 1.0, 21.0, 1_900, reasoning="Let me see."), 100),  # for all to see
        (answered(300, 5.0, 5.002), None),  # the server held it back until it was whole
        (answered(1, 0.5, 0.8), None),  # nothing came after the first one
        (answered(1_900, 19.0, 20.0, 1_900), None),
        (answered(100, None, 2.0), None),  # not streamed: the wait is in it
        (answered(None, 1.0, 2.0), None),
        (answered(100, 1.0, None), None),
    ],
)
def test_the_speed_is_that_of_the_tokens_a_reader_saw_come(
    answer: Answer, speed: float | None
) -> None:
    """After the first one; where that is not known, nothing is said."""
    assert tokens_per_second(answer) == (None if speed is None else pytest.approx(speed))
    assert any("tokens/s" in each for each in answer_facts(answer, 0.0)) == (speed is not None)
    assert any("tokens/s" in each for each in total_facts([answer], lambda _: 0.0)) == (
        speed is not None
    )


@given(st.lists(st.tuples(st.integers(2, 999), st.floats(0, 9), st.floats(0.1, 9)), min_size=1))
def test_a_sum_is_no_faster_than_the_fastest(known: list[tuple[int, float, float]]) -> None:
    """Nor slower than the slowest; what is held back changes nothing."""
    answers = [answered(tokens, first, first + more) for tokens, first, more in known]
    speeds = [speed for each in answers if (speed := tokens_per_second(each)) is not None]
    (said,) = (
        x for x in total_facts([*answers, answered(300, 5.0, 5.002)], lambda _: 0.0) if "/s" in x
    )
    assert round(min(speeds)) <= int(said.split()[0].replace(",", "")) <= round(max(speeds))
