"""A template names variables and chooses; it cannot loop, call, compute or grow."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.errors import UsageError
from assistants.utils.templating import MAX_CHARACTERS, names, render


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in x %}{% endfor %}",
        "{{ x() }}",
        "{{ x.y }}",
        "{{ x['__class__'] }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'a' * 999999999 }}",
        "{{ x + x }}",
        "{{ x ~ x }}",
        "{% set y = x %}",
        "{% macro m() %}{% endmacro %}",
        "{% include 'a' %}",
        "{% import 'a' as b %}",
        "{% extends 'a' %}",
        "{% block b %}{% endblock %}",
        "{% filter upper %}{% endfilter %}",
        "{% call x() %}{% endcall %}",
        "{{ range(9) }}",
        "{{ [x] }}",
        "{{ {'a': x} }}",
        "{{ x|map('upper') }}",
        "{{ x|attr('y') }}",
        "{{ x|format }}",
        "{% if x is nonsense %}{% endif %}",
        "{{ x",
        "{% if x %}",
        "{{ x|join('a', 'b', 'c') }}",
        "{{ x < 3 }}",
        "{{ n|length }}",
        "{{ n is divisibleby 0 }}",
        "{% if x %}" * 200 + "{% endif %}" * 200,
        "{{ " + "not " * 5000 + "x }}",
        "{{ " + "(" * 3000 + "x" + ")" * 3000 + " }}",
    ],
)
def test_what_is_not_allowed_is_a_usage_error(template: str) -> None:
    """Every other construct is refused by name, and none ends in an error of Python's."""
    with pytest.raises(UsageError, match="persona 'p'"):
        render(template, {"x": "text", "n": 5}, "persona 'p'")


def test_a_template_cannot_grow() -> None:
    """A short file cannot become a long prompt, nor take long to refuse."""
    half = "x" * (MAX_CHARACTERS // 2)
    began = time.process_time()
    for template in (
        f'{{{{ "{half}"|join("{half}") }}}}',
        "{{ " + "x|join('" + "ab" * 500 + "')" + "|join('ab')" * 30 + " }}",
        "{{ y }}{{ y }}{{ y }}",
    ):
        with pytest.raises(UsageError, match="characters"):
            render(template, {"x": "xyz", "y": half}, "p")
    assert time.process_time() - began < 10


def test_what_is_allowed() -> None:
    """Variables, a choice and a few filters; a variable's value is never a template itself."""
    assert render("For {{ who|upper }}.", {"who": "{{ x }}"}, "p") == "For {{ X }}."
    assert render("{% if a == 'b' %}yes{% else %}no{% endif %}", {"a": "b"}, "p") == "yes"
    assert render("{{ a|join(', ') }}", {"a": ["b", "c"]}, "p") == "b, c"
    assert render("{{ a|default('b') }}", {}, "p") == "b"
    assert names("{{ a }}{% if b %}{{ c|default('d') }}{% endif %}", "p") == {"a", "b", "c"}


def test_a_missing_variable_is_named() -> None:
    """A variable without a value says which, and the nearest that has one."""
    with pytest.raises(UsageError, match=r"no value for audience.*'audiense'"):
        render("{{ audience }}", {"audiense": 1}, "p")


@given(st.text("{}%#|()[]'x1 ~.ifend", max_size=30))
def test_any_text_renders_or_is_refused(text: str) -> None:
    """Whatever a person writes, the worst that happens is a UsageError."""
    said = "p:"
    try:
        render(text, {"x": "y"}, "p")
    except UsageError as error:
        said = str(error)
    assert said.startswith("p:")
