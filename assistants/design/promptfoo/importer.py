"""A configuration of promptfoo, written as an experiment, persona files and cases."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assistants.design.design import Design
from assistants.design.promptfoo.assertions import read_assertions
from assistants.design.promptfoo.cases import Test, read_tests
from assistants.design.promptfoo.prompts import Prompt, read_prompts
from assistants.design.promptfoo.providers import Target, read_providers
from assistants.design.promptfoo.source import PROGRAMS, Loss, Node, Source, free_name, slug
from assistants.design.writer import write_cases, write_file, write_persona
from assistants.errors import FileError, PartialImportError, UsageError
from assistants.models import Catalogue
from assistants.utils import (
    display_path,
    escape_control_chars,
    has_variables,
    templating,
    to_json,
    truncate_line,
)

CASES_IN_FILE = 50
"""More cases than these are written to a file of their own."""

_READ = ("description", "prompts", "providers", "targets", "tests", "defaultTest")
_IGNORED = (
    "$schema", "tags", "metadata", "outputPath", "sharing", "writeLatestResults", "tracing",
    "commandLineOptions", "evaluateOptions", "assertionTemplates", "version",
)  # fmt: skip
_OPTIONS = {"repeat": "repeats", "maxConcurrency": "concurrency"}
_IGNORED_OPTIONS = ("cache", "showProgressBar", "delay")


@dataclass(frozen=True, slots=True)
class Imported:
    """An experiment that was written, and what could not be carried over."""

    path: Path
    design: Design
    losses: tuple[Loss, ...]


def import_promptfoo(config: Path, out: Path | None = None, *, partial: bool = False) -> Imported:
    """Write a configuration of promptfoo as an experiment of ours.

    Nothing of it is run, and neither the environment nor a file outside its folder is read. The
    experiment is written only if it can be read back.

    Parameters
    ----------
    config
        A ``.yaml`` or ``.json`` file.
    out
        The folder to write to, which must be new or empty; ``experiments/NAME`` by default.
    partial
        True writes what can be carried over, and lists the rest at the head of the experiment.

    Raises
    ------
    PartialImportError
        Listing everything that cannot be carried over, unless ``partial``.
    FileError
        If a file is not what it should be.
    UsageError
        If there is something in ``out``, or nothing is left to run.
    """
    if config.suffix in PROGRAMS:
        raise FileError(display_path(config), "is a program.", fix="Write it as YAML or JSON.")
    source = Source(config.parent)
    root = source.read(config)
    if not isinstance(root.data, Mapping):
        raise FileError(root.where, "expected a mapping with `prompts`, `providers` and `tests`.")
    name = _name(config, root)
    folder = out if out is not None else Path("experiments") / name
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(
            f"{display_path(folder)} is there already.",
            fix="Name a folder that is new or empty with `--out`.",
        )
    draft = _Draft(source, root, Catalogue.default())
    losses = tuple(source.losses)
    if losses and not partial:
        raise PartialImportError(display_path(config), [str(loss) for loss in losses])
    is_new, path = not folder.exists(), folder / f"{name}.yaml"
    try:
        draft.write(path, config)
        return Imported(path, Design.load(path), losses)
    except BaseException as error:  # an interrupt too: what cannot be run is not left behind
        shutil.rmtree(folder, ignore_errors=True)
        if not is_new:
            folder.mkdir()
        if isinstance(error, UsageError):
            message = f"the experiment that it becomes cannot be run: {error.message}"
            raise FileError(display_path(config), message, fix=error.fix) from None
        raise


def _name(config: Path, root: Node) -> str:
    stem = config.stem.lower()
    if stem in ("promptfooconfig", "config"):
        stem = config.absolute().parent.name
    return slug(stem, "imported")


class _Draft:
    """The experiment that a configuration becomes."""

    def __init__(self, source: Source, root: Node, catalogue: Catalogue) -> None:
        self._source, self._root = source, root
        for key, node in root.items():
            if key not in (*_READ, *_IGNORED):
                source.lose(node.where, f"`{key}`{_TOP_LEVEL.get(key, '')}.")
        self._targets = read_providers(source, root, catalogue)
        prompts = _split_heads(source, read_prompts(source, root))
        tests = read_tests(source, root)
        self._in_user = any(prompt.in_user for prompt in prompts)
        self._templates, kept = self._compared(prompts)
        self._personas = self._named(kept)
        used = frozenset().union(*(_names(prompt.system) for prompt in kept))
        groups = self._cases(tests, used)
        grading = read_assertions(source, [group for _, group in groups], catalogue)
        for position, reference in grading.references.items():
            groups[position][0]["reference"] = reference
        self._scorers = grading.scorers
        self._options = _options(source, root)
        self._case_entries = [case for case, _ in groups]

    def _compared(self, prompts: Sequence[Prompt]) -> tuple[list[tuple[str, str]], list[Prompt]]:
        """Return the questions to ask, with labels, and the prompts whose personas are asked."""
        if not prompts:
            raise FileError(
                self._root.where, f"no prompt can be carried over. {_listed(self._source)}"
            )
        by_question: dict[str, list[Prompt]] = {}
        for prompt in prompts:
            by_question.setdefault(prompt.question, []).append(prompt)
        if len(by_question) == 1:
            return [(prompts[0].question, "")], list(prompts)
        if len({prompt.system for prompt in prompts}) == 1:
            self._source.lose(
                prompts[1].where,
                "prompts that differ within the question: what is compared here is system prompts. "
                "Each prompt of each test becomes a case of its own.",
            )
            return [(p.question, p.label) for p in prompts], [prompts[0]]
        first = next(iter(by_question.values()))
        for prompt in prompts:
            if prompt not in first:
                self._source.lose(
                    prompt.where,
                    "a prompt that differs from the first in the system message and in the "
                    "question: it would be an experiment of its own.",
                )
        return [(first[0].question, "")], first

    def _named(self, prompts: Sequence[Prompt]) -> dict[str, Prompt]:
        named: dict[str, Prompt] = {}
        for prompt in prompts:
            if prompt.system is None:
                named["none"] = prompt
            else:
                name = slug(prompt.label, "prompt")
                reserved = {"none": 0, "neutral": 0}
                named[free_name(name, {**named, **reserved})] = prompt
        return named

    def _cases(
        self, tests: Sequence[Test], used: frozenset[str]
    ) -> list[tuple[dict[str, Any], list[Test]]]:
        """Return each different case, with the tests that ask it.

        A question is filled in here, unless the persona needs variables: then both are later.
        """
        found: dict[str, tuple[dict[str, Any], list[Test]]] = {}
        names: dict[str, Any] = {}
        for test in tests:
            for template, label in self._templates:
                wanted = _names(template) | used
                question = self._source.rendered(template, test.variables, test.where)
                missing = sorted(used - set(test.variables))
                if missing:
                    self._source.lose(test.where, f"no value for {', '.join(missing)}.")
                if question is None or missing:
                    continue
                if not question.strip():
                    self._source.lose(test.where, "a test with an empty question.")
                    continue
                kept = {n: v for n, v in test.variables.items() if n in wanted} if used else {}
                case = {"question": template if used else question, "vars": kept}
                if not kept:
                    del case["vars"]
                known = found.get(to_json(case))
                if known is not None:
                    known[1].append(test)
                    continue
                number = len(found) + 1
                words = " ".join(part for part in (test.description, label) if part)
                case_id = slug(words, f"test-{number}")
                case_id = free_name(f"{case_id}-{number}" if case_id in names else case_id, names)
                names[case_id] = None
                found[to_json(case)] = ({"id": case_id, **case}, [test])
        if not found:
            raise FileError(
                self._root.where, f"no test can be carried over. {_listed(self._source)}"
            )
        return list(found.values())

    def write(self, path: Path, config: Path) -> None:
        """Write the experiment, its personas, and its cases where there are many."""
        personas = []
        for name, prompt in self._personas.items():
            if prompt.system is None:
                personas.append("none")
                continue
            file = path.parent / "personas" / f"{name}.md"
            write_persona(file, prompt.system, {"label": truncate_line(prompt.label, 80) or name})
            personas.append(f"personas/{file.name}")
        content: dict[str, Any] = {}
        if description := self._root.data.get("description"):
            content["description"] = str(description)
        content |= _who(personas, self._targets)
        if self._in_user:
            content["system_prompt_in"] = "user"
        if len(personas) > 1 and "none" not in self._personas:
            content["baseline"] = next(iter(self._personas))
        content["cases"] = self._case_entries
        if len(self._case_entries) > CASES_IN_FILE:
            content["cases"] = f"{path.stem}-cases.jsonl"
            write_cases(path.with_name(str(content["cases"])), self._case_entries)
        content |= self._options
        if self._scorers:
            content["scorers"] = self._scorers
        write_file(path, content, self._comment(config))

    def _comment(self, config: Path) -> list[str]:
        lines = [f"Imported from {config.name}, a configuration of promptfoo."]
        lines += self._source.notes
        if self._source.losses:
            lines += ["", "Not carried over:", *(f"- {loss}" for loss in self._source.losses)]
        return [truncate_line(escape_control_chars(line), 300) for line in lines]


def _split_heads(source: Source, prompts: Sequence[Prompt]) -> list[Prompt]:
    """Return the prompts, with persona and question told apart where they are one text.

    Texts that differ only in what stands before one common last paragraph are personas too: sent
    at the head of the question, they give the same message, character for character.
    """
    if len(prompts) < 2 or any(prompt.system is not None for prompt in prompts):
        return list(prompts)
    halves = [prompt.question.rpartition("\n\n") for prompt in prompts]
    tail = halves[0][2]
    whole = all(head == head.strip() for head, _, _ in halves)
    if not whole or not has_variables(tail) or any(other != tail for _, _, other in halves):
        return list(prompts)
    source.note("Prompts are personas at the head of the question, as they were in promptfoo.")
    return [
        replace(prompt, system=head or None, question=tail, in_user=True)
        for prompt, (head, _, _) in zip(prompts, halves, strict=True)
    ]


def _options(source: Source, root: Node) -> dict[str, Any]:
    """Return what ``evaluateOptions:`` says in our words."""
    options = root.get("evaluateOptions")
    given: dict[str, Any] = {}
    for key, node in options.items() if options else ():
        if key in _OPTIONS and type(node.data) is int and node.data > 0:
            given[_OPTIONS[key]] = node.data
        elif key not in _IGNORED_OPTIONS:
            source.lose(node.where, f"`{key}` among the options of the evaluation.")
    return given


def _who(personas: Sequence[str], targets: Sequence[Target]) -> dict[str, Any]:
    """Return personas and models, or exact pairs where each model has a sampling of its own."""
    samplings = [dict(target.sampling) for target in targets]
    if all(sampling == samplings[0] for sampling in samplings):
        content: dict[str, Any] = {
            "personas": list(personas),
            "models": [target.model for target in targets],
        }
        return content | ({"sampling": samplings[0]} if samplings and samplings[0] else {})
    return {
        "assistants": [
            {
                "persona": persona,
                "model": target.model,
                **({"sampling": dict(target.sampling)} if target.sampling else {}),
            }
            for target in targets
            for persona in personas
        ]
    }


def _names(template: str | None) -> frozenset[str]:
    return templating.names(template or "", "the template")


def _listed(source: Source) -> str:
    return " ".join(str(loss) for loss in list(source.losses)[:5])


_TOP_LEVEL = {
    "scenarios": ": write them out as tests",
    "env": ": variables are not set here; keys are read from the environment by their name",
    "extensions": " are programs",
    "nunjucksFilters": " are programs",
    "derivedMetrics": ": `run.scores(...)` is a table to compute them from",
    "redteam": ": attacks are not generated here",
}
