"""A trial's key is equal if and only if the request is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from assistants.assistant import Assistant
from assistants.clients import ScriptedClient, echo
from assistants.messages import Sampling
from assistants.personas import Persona
from assistants.trial import Case, Trial

TEXT = st.text(st.characters(), min_size=1, max_size=8).filter(str.strip)
SAMPLING = st.builds(
    Sampling,
    temperature=st.sampled_from([None, 0, 0.0, 1, 1.0, 0.5]),
    max_tokens=st.sampled_from([None, 1, 2]),
    seed=st.sampled_from([None, 0, 1]),
    stop=st.sampled_from([(), ("a",), ("a", "b"), ("ab",)]),
)
REQUEST = st.fixed_dictionaries(
    {
        "text": st.sampled_from([None, "", "a", "b"]) | TEXT.filter(lambda t: "{" not in t),
        "turns": st.lists(st.sampled_from(["a", "b", "ab"]) | TEXT, min_size=1, max_size=3),
        "model": st.sampled_from(["x", "y"]),
        "sampling": SAMPLING,
        "repeat": st.integers(0, 2),
    }
)
HEARSAY = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["p", "q"]),
        "label": TEXT,
        "id": TEXT,
        "reference": st.none() | TEXT,
    }
)


def trial(request: dict[str, Any], hearsay: dict[str, Any]) -> Trial:
    name, label = hearsay["name"], hearsay["label"]
    persona = Persona(name, request["text"], label=label, source=hearsay["id"])
    client = ScriptedClient(echo, request["model"])
    case = Case(hearsay["id"], tuple(request["turns"]), hearsay["reference"])
    return Trial(case, Assistant(persona, client, request["sampling"]), request["repeat"])


@given(REQUEST, REQUEST, HEARSAY, HEARSAY)
def test_keys_are_equal_if_and_only_if_requests_are(
    one: dict[str, Any], two: dict[str, Any], a: dict[str, Any], b: dict[str, Any]
) -> None:
    """Text, turns, model, sampling and repeat make a key; name, label, id and reference do not."""
    assert trial(one, a).key == trial(one, b).key
    assert (trial(one, a).key == trial(two, b).key) == (one == two)


@given(REQUEST, HEARSAY)
def test_where_a_setting_comes_from_does_not_matter(
    request_: dict[str, Any], hearsay: dict[str, Any]
) -> None:
    """A persona's default and the experiment's own word are one and the same request."""
    plain = trial(request_, hearsay)
    moved = replace(
        plain.assistant,
        persona=replace(plain.assistant.persona, sampling=request_["sampling"]),
        sampling=Sampling(),
    )
    assert replace(plain, assistant=moved).key == plain.key


def test_a_variable_counts_by_the_text_it_makes() -> None:
    """Filled in or written out, from case or experiment: the text that is sent is the key."""
    client = ScriptedClient(echo, "m")
    filled = Assistant(Persona("p", "For {{ who }}."), client, variables={"who": "you"})
    by_case = Assistant(Persona("p", "For {{ who }}."), client)
    written = Assistant(Persona("q", "For you."), client)
    keys = {
        Trial(Case("1", ("Hi",)), filled, 0).key,
        Trial(Case("1", ("Hi",), variables={"who": "you", "else": 1}), by_case, 0).key,
        Trial(Case("1", ("Hi",)), written, 0).key,
    }
    assert len(keys) == 1


def test_a_key_is_the_same_tomorrow() -> None:
    """Answers that were paid for are found by a later version: this key must never change."""
    sampling = Sampling(temperature=1, seed=7)
    request = {"text": "a", "turns": ["b"], "model": "m", "sampling": sampling}
    hearsay = {"name": "p", "label": "", "id": "1", "reference": None}
    assert trial({**request, "repeat": 2}, hearsay).key == "a60adcd11ec926f06e5500a2dbbd6720"
