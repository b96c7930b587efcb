"""Variables in personas and questions: ``{{ audience }}``, in a sandbox with little in it.

A persona file may come from a stranger, so a template can name variables, choose with ``if`` and
apply a few filters. It cannot loop, call, compute or include, and so cannot run long or grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from jinja2 import StrictUndefined, TemplateError, UndefinedError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from assistants.errors import UsageError, nearest

MAX_CHARACTERS = 200_000

_FILTERS = ("capitalize", "default", "join", "length", "lower", "title", "trim", "upper")
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If,
    nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Test,
    nodes.Filter,
)  # fmt: skip


def render(template: str, variables: Mapping[str, object], what: str) -> str:
    """``template`` with its variables filled in; ``what`` names it in errors.

    Raises
    ------
    UsageError
        For a syntax that is not allowed, a variable without a value, or a result that is too long.
    """
    if not has_variables(template):
        return template
    try:
        text = str(_compiled(template, what).render(dict(variables)))
    except UndefinedError as error:
        missing = sorted(names(template, what) - set(variables))
        raise UsageError(
            f"{what}: no value for {', '.join(missing) or error}.",
            fix="Give one under `vars:`. " + nearest((missing or [""])[0], variables),
        ) from None
    except TemplateError as error:
        raise UsageError(f"{what}: {error}") from None
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"{what}: {len(text):,} characters; at most {MAX_CHARACTERS:,} are sent.")
    return text


def names(template: str, what: str) -> frozenset[str]:
    """The variables that ``template`` asks for."""
    return _parsed(template, what)[1] if has_variables(template) else frozenset()


def has_variables(template: str) -> bool:
    """Whether there is anything in ``template`` to fill in."""
    return "{{" in template or "{%" in template or "{#" in template


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    return environment


@lru_cache(maxsize=1024)
def _parsed(template: str, what: str) -> tuple[nodes.Template, frozenset[str]]:
    try:
        tree = _environment().parse(template)
    except (TemplateError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise UsageError(
            f"{what}: {error}{f' (line {line} of the text)' if line else ''}"
        ) from None
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, _ALLOWED):
            kind = type(node).__name__.lower()
            raise UsageError(
                f"{what}: `{kind}` is not allowed in a template (line {node.lineno} of the text).",
                fix="Use {{ variable }}, {% if %} and the filters " + ", ".join(_FILTERS) + ".",
            )
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            raise UsageError(
                f"{what}: unknown filter {node.name!r}.", fix=nearest(node.name, _FILTERS)
            )
    return tree, frozenset(meta.find_undeclared_variables(tree))


@lru_cache(maxsize=1024)
def _compiled(template: str, what: str):  # type: ignore[no-untyped-def]  # jinja2's own type
    return _environment().from_string(_parsed(template, what)[0])
