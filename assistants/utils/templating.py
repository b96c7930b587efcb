"""Variables in personas and questions, such as ``{{ audience }}``, filled in by a sandbox.

A persona file may come from a stranger, so a template can name variables, choose with ``if`` and
apply a few filters. It cannot loop, call, compute or include, and so cannot run long or grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError, UndefinedError, meta, nodes
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
    """Return ``template`` with its variables filled in; ``what`` names it in errors.

    Raises
    ------
    UsageError
        For a syntax that is not allowed, a variable without a value, or a result that is too long.
    """
    if not has_variables(template):
        return template
    try:
        text = str(_parsed(template, what)[0].render(dict(variables)))
    except UndefinedError as error:
        missing = sorted(names(template, what) - set(variables))
        raise UsageError(
            f"{what}: no value for {', '.join(missing) or error}.",
            fix="Give one under `vars:`. " + nearest((missing or [""])[0], variables),
        ) from None
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise UsageError(f"{what}: {error}") from None
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"{what}: {len(text):,} characters; at most {MAX_CHARACTERS:,} are sent.")
    return text


def names(template: str, what: str) -> frozenset[str]:
    """Return the names of the variables in ``template``."""
    return _parsed(template, what)[1] if has_variables(template) else frozenset()


def has_variables(template: str) -> bool:
    """Return whether ``template`` has anything to fill in."""
    return "{{" in template or "{%" in template or "{#" in template


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    environment.filters["join"] = _join
    return environment


def _join(values: Iterable[object], separator: str = "") -> str:
    """Join as Jinja does, with a limit, since two long texts could make gigabytes."""
    texts = [str(value) for value in values]
    length = sum(map(len, texts)) + len(str(separator)) * len(texts)
    if length > MAX_CHARACTERS:
        raise ValueError(f"`join` would make {length:,} characters.")
    return str(separator).join(texts)


@lru_cache(maxsize=1024)
def _parsed(template: str, what: str) -> tuple[Template, frozenset[str]]:
    try:
        tree = _environment().parse(template)
        _check(tree, what)
        variables = frozenset(meta.find_undeclared_variables(tree))
        return _environment().from_string(tree), variables
    # Jinja writes Python, which has limits of its own on nesting.
    except (TemplateError, SyntaxError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) if isinstance(error, TemplateError) else None
        raise UsageError(
            f"{what}: {error}{f' (line {line} of the text)' if line else ''}"
        ) from None


def _check(tree: nodes.Template, what: str) -> None:
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
