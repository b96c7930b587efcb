"""The assertions of a configuration, as scorers, references and judges.

A scorer of ours grades the answers to all cases. An assertion that all tests have becomes a
scorer. One that differs from test to test becomes each case's ``reference``, and the scorer that
compares with it; what fits neither is a loss.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistants.design.promptfoo.cases import Test
from assistants.design.promptfoo.providers import model_name
from assistants.design.promptfoo.source import Node, Source, free_name, slug
from assistants.errors import UsageError
from assistants.models import Catalogue
from assistants.scoring import make_scorer
from assistants.utils import has_variables, to_json

DEFAULT_GRADER = "chatgpt"
"""The model that judges where a configuration names none; promptfoo then asks one of OpenAI's."""

_RUBRICS = ("llm-rubric", "model-graded-closedqa", "g-eval")
_FACTUAL = ("factuality", "model-graded-factuality")
_COMPARES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "equals": ("exact", {"strict": True}),
    "contains": ("contains", {"ignore_case": False}),
    "icontains": ("contains", {}),
}
"""Scorers that compare with a case's reference, by the assertion that they stand for."""

_WHY = {
    "javascript": "is a program: write a function in Python and name it as `python:`",
    "python": "is a program: name its function as a scorer, `python: module:function`",
    "ruby": "is a program: write a function in Python and name it as `python:`",
    "webhook": "asks an address",
    "latency": "seconds are a column of every trial (`total_s`), not a grade",
    "cost": "dollars are a column of every trial (`cost_usd`); `limits: {usd: ...}` caps them",
    "perplexity": "log-probabilities of an answer are not scored",
    "similar": "needs vectors: `await run.embeddings(model)` measures distances",
    "contains-json": "JSON somewhere in an answer is not looked for; `json` wants all of it",
    "word-count": "`words` counts them, and does not pass or fail",
}
_RESERVED = {"votes": None, "paraphrases": None}
"""Names that no scorer of an experiment may have."""

_FIELDS = ("type", "value", "threshold", "weight", "metric", "provider")

Check = tuple[str, str, str, str]
"""Kind, value as JSON, name, and model of the judge: equal for assertions that are the same."""


@dataclass(frozen=True, slots=True)
class Grading:
    """The scorers of an experiment, and the reference of each case, by its position."""

    scorers: list[Any]
    references: dict[int, str]


def read_assertions(
    source: Source, tests: Sequence[Sequence[Test]], catalogue: Catalogue
) -> Grading:
    """Return what grades the answers.

    Parameters
    ----------
    source
        Takes the losses.
    tests
        For each case, the tests that ask the same.
    catalogue
        Finds the models of judges.
    """
    checks: list[dict[Check, str]] = []
    for group in tests:
        found: dict[Check, str] = {}
        for test in group:
            for node in test.assertions:
                for check, where in _checks(source, node, test, catalogue):
                    found.setdefault(check, where)
        checks.append(found)
    counts = Counter(check for found in checks for check in found)
    everywhere = [check for check, count in counts.items() if count == len(checks)]
    builder = _Scorers(source)
    for check in everywhere:
        builder.add(check, next(found[check] for found in checks))
    varied = [{c: where for c, where in found.items() if c not in everywhere} for found in checks]
    references = _references(source, varied, builder)
    return Grading(builder.entries(), references)


def _references(
    source: Source, varied: Sequence[dict[Check, str]], builder: _Scorers
) -> dict[int, str]:
    """Return the references that make one kind of assertion hold for each case by itself."""
    kinds: Counter[tuple[str, str]] = Counter()
    for found in varied:
        alone = Counter(check[0] for check in found)
        judges = {check[0]: check[3] for check in found}
        kinds.update((k, judges[k]) for k, n in alone.items() if n == 1 and _is_comparable(k))
    # A judge grades every answer, so that a rubric in the reference has to be there for each.
    kept = [
        (kind, count)
        for kind, count in kinds.most_common()
        if kind[0] in _COMPARES or count == len(varied)
    ]
    chosen = kept[0][0] if kept else None
    references: dict[int, str] = {}
    for position, found in enumerate(varied):
        mine = [c for c in found if chosen is not None and (c[0], c[3]) == chosen]
        for check, where in found.items():
            if len(mine) == 1 and check == mine[0]:
                references[position] = _text(check[1])
            else:
                source.lose(
                    where,
                    f"`{check[0]}` is not the same for all tests, and a scorer grades all cases "
                    "alike. One kind of comparison may differ: it becomes their `reference`.",
                )
    if chosen is not None and references:
        builder.add_comparison(*chosen)
    return references


def _is_comparable(kind: str) -> bool:
    return kind in _COMPARES or kind in _RUBRICS or kind in _FACTUAL


class _Scorers:
    """Entries of ``scorers:``, each with a name of its own."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._entries: dict[str, Any] = {}
        self._criteria: dict[str, dict[str, str]] = {}

    def entries(self) -> list[Any]:
        """Return the scorers, and one judge per model with all its criteria."""
        judges: dict[str, Any] = {}
        for model, criteria in self._criteria.items():
            name = free_name("rubric", {**self._entries, **judges})
            judges[name] = {"judge": {"model": model, "name": name, "criteria": criteria}}
        return [*self._entries.values(), *judges.values()]

    def add(self, check: Check, where: str) -> None:
        """Add the scorer of an assertion that all tests have."""
        kind, value, metric, model = check
        if kind in _RUBRICS:
            for text in _texts(value):
                self._criterion(model, slug(metric or kind, "rubric"), text)
        elif kind in _FACTUAL:
            text = f"Does it agree in fact with this, and contradict nothing of it: {_text(value)}"
            self._criterion(model, slug(metric, "factuality"), text)
        elif kind == "select-best":
            name = self._free("best")
            judge = {"model": model, "name": name, "compare": _text(value), "pairs": "all"}
            self._entries[name] = {"judge": judge}
        elif kind in ("is-refusal", "not-is-refusal"):
            name = self._free(slug(metric or "refusal", "refusal"))
            self._entries[name] = {"refusal": {"name": name}}
        else:
            self._deterministic(kind, value, metric, where)

    def add_comparison(self, kind: str, model: str) -> None:
        """Add the scorer that compares with the reference."""
        if kind in _FACTUAL:
            text = "Does it agree in fact with the reference, and contradict nothing of it?"
            self._criterion(model, "factuality", text)
        elif kind in _RUBRICS:
            self._criterion(model, "rubric", "Does it do what the reference asks of an answer?")
        else:
            scorer, settings = _COMPARES[kind]
            name = self._free(f"{kind}-reference")
            self._entries[name] = {scorer: {**settings, "name": name}}

    def _criterion(self, model: str, name: str, text: str) -> None:
        criteria = self._criteria.setdefault(model, {})
        criteria[free_name(name, criteria)] = text

    def _deterministic(self, kind: str, value: str, metric: str, where: str) -> None:
        scorer, settings = _scorer(kind, value)
        name = self._free(slug(metric or kind, kind))
        written = {scorer: {**settings, "name": name}}
        try:
            make_scorer(written)
        except UsageError as error:
            self._source.lose(where, f"`{kind}`: {error.message}")
            return
        self._entries[name] = written

    def _free(self, name: str) -> str:
        return free_name(name, {**self._entries, **_RESERVED})


def _scorer(kind: str, value: str) -> tuple[str, dict[str, Any]]:
    """Return scorer and settings of a deterministic assertion; most of them are a pattern."""
    negated, plain = kind.startswith("not-"), kind.removeprefix("not-")
    if kind == "is-json":
        schema = json.loads(value)
        return "json", {"schema": schema} if schema else {}
    if kind == "contains":
        return "contains", {"text": _text(value), "ignore_case": False}
    if kind == "icontains":
        return "contains", {"text": _text(value)}
    if kind == "regex":
        return "regex", {"pattern": _whole_text(_text(value))}
    texts = [re.escape(text) for text in _texts(value)]
    pattern = {
        "equals": rf"\A(?:{texts[0]})\Z",
        "starts-with": rf"\A(?:{texts[0]})",
        "regex": rf"\A[\s\S]*(?:{_whole_text(_text(value))})",
        "contains": rf"\A[\s\S]*(?:{texts[0]})",
        "icontains": rf"\A[\s\S]*(?:{texts[0]})",
        "contains-any": rf"\A[\s\S]*(?:{'|'.join(texts)})",
        "icontains-any": rf"\A[\s\S]*(?:{'|'.join(texts)})",
        "contains-all": r"\A" + "".join(rf"(?=[\s\S]*{text})" for text in texts),
        "icontains-all": r"\A" + "".join(rf"(?=[\s\S]*{text})" for text in texts),
    }[plain]
    if negated:
        pattern = rf"\A(?!{pattern})"
    return "regex", {"pattern": pattern, **({"ignore_case": True} if plain[0] == "i" else {})}


_DETERMINISTIC = (
    "equals", "contains", "icontains", "contains-any", "contains-all", "icontains-any",
    "icontains-all", "starts-with", "regex",
)  # fmt: skip


def _whole_text(pattern: str) -> str:
    """Return a pattern in which ``^`` and ``$`` are the ends of the text, as in JavaScript."""
    return f"(?-m:{pattern})" if "^" in pattern or "$" in pattern else pattern


def _checks(
    source: Source, node: Node, test: Test, catalogue: Catalogue
) -> list[tuple[Check, str]]:
    """Return one assertion, or those of a set, as checks; losses for what we do not have."""
    if not isinstance(node.data, Mapping) or not isinstance(node.data.get("type"), str):
        source.lose(node.where, "an assertion without a `type`.")
        return []
    kind = node.data["type"]
    if kind == "assert-set":
        if node.data.get("threshold") is not None or not (members := node.get("assert")):
            source.lose(node.where, "an `assert-set` of which only some have to hold.")
            return []
        return [c for each in members.each() for c in _checks(source, each, test, catalogue)]
    plain = kind.removeprefix("not-")
    is_judged = kind in (*_RUBRICS, *_FACTUAL, "select-best")
    known = plain in _DETERMINISTIC or is_judged or kind == "is-json" or plain == "is-refusal"
    if not known:
        source.lose(node.where, f"`{kind}`{_because(plain)}.")
        return []
    for key, field in node.items():
        if key not in _FIELDS:
            source.lose(field.where, f"`{key}` of an assertion.")
            if key == "transform":
                return []
    if node.data.get("weight") is not None or node.data.get("threshold") is not None:
        source.note("Weights and thresholds of assertions are not applied: scorers measure.")
    value = _rendered(source, node, test)
    if value is None and plain not in ("is-json", "is-refusal"):
        return []
    if is_judged and has_variables(to_json(value)):
        source.lose(node.where, f"`{kind}` with `{{{{ }}}}` in its text.")
        return []
    model = _judge(source, node, test, catalogue) if is_judged else ""
    if model is None:
        return []
    metric = str(node.data.get("metric") or "")
    return [((kind, to_json(value), metric, model), node.where)]


def _because(kind: str) -> str:
    return f": {_WHY[kind]}" if kind in _WHY else " has no scorer that does the same"


def _rendered(source: Source, node: Node, test: Test) -> Any:
    """Return an assertion's value with the variables of its test; ``None`` if it has none."""
    held = node.get("value")
    if held is None:
        return _lost_value(source, node)
    if isinstance(held.data, str) and held.data.startswith("file://"):
        if held.data.endswith((".json", ".yaml", ".yml")):
            paths = source.paths(held.data, held.where)
            return source.read(paths[0]).data if len(paths) == 1 else None
        if not held.data.endswith((".txt", ".md")):
            source.lose(held.where, f"`{held.data}` is a program, or no text.")
            return None
        text = source.text(held.data, held.where)
        return None if text is None else source.rendered(text, test.variables, held.where)
    if isinstance(held.data, Mapping):
        if node.data["type"] == "is-json":
            return held.data
        source.lose(held.where, f"`{node.data['type']}` with an object to compare with.")
        return None
    values = [each.data for each in held.each()]
    is_list = node.data["type"].endswith(("-any", "-all", "g-eval"))
    if isinstance(held.data, list) and not (values and is_list):
        source.lose(held.where, f"`{node.data['type']}` with a list to compare with.")
        return None
    if not all(isinstance(value, str | int | float) and str(value).strip() for value in values):
        return _lost_value(source, node)
    texts = [
        source.rendered(v, test.variables, held.where) if isinstance(v, str) else to_json(v)
        for v in values
    ]
    if any(text is None for text in texts):
        return None
    if node.data["type"].endswith(("-any", "-all")) and isinstance(held.data, str):
        return [part.strip() for part in str(texts[0]).split(",") if part.strip()] or texts
    return texts if isinstance(held.data, list) else texts[0]


def _lost_value(source: Source, node: Node) -> None:
    kind = node.data["type"]
    if kind.removeprefix("not-") not in ("is-json", "is-refusal"):
        source.lose(node.where, f"`{kind}` without a value to compare with.")


def _judge(source: Source, node: Node, test: Test, catalogue: Catalogue) -> str | None:
    named = node.get("provider") or test.grader
    if named is None:
        source.note(f"No model is named to judge, so {DEFAULT_GRADER} does.")
        return DEFAULT_GRADER
    data = named.data
    if isinstance(data, Mapping):
        data = data.get("id") or data.get("text")
        if isinstance(data, Mapping):
            data = data.get("id")
    if not isinstance(data, str):
        source.lose(named.where, "a model to judge that has no name.")
        return None
    return model_name(source, data, named.where, catalogue)


def _texts(value: str) -> list[str]:
    held = json.loads(value)
    return [str(each) for each in held] if isinstance(held, list) else [str(held)]


def _text(value: str) -> str:
    return "\n".join(_texts(value))
