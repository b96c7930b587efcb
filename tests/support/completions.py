"""Completions as any model could return them, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from assistants.messages import FINISHED, Completion, Usage

TEXT = st.text(st.characters(), max_size=20)
COUNT = st.none() | st.integers(0, 2**62)
SECONDS = st.none() | st.floats(0, 1e6)
COMPLETION = st.builds(
    Completion,
    text=TEXT,
    status=st.sampled_from(sorted(FINISHED)),
    finish_reason=st.none() | TEXT,
    reasoning=st.none() | TEXT,
    usage=st.builds(Usage, COUNT, COUNT, COUNT, COUNT),
    served_model=st.none() | TEXT,
    started_at=st.just("2026-01-01T00:00:00.000+00:00"),
    first_token_s=SECONDS,
    total_s=SECONDS,
)
