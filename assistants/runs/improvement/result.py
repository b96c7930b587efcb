"""The result of an improvement: what the new persona is worth on cases that nobody chose by."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assistants.design import write_persona
from assistants.personas import Library, Persona
from assistants.runs.improvement.case_split import CaseSplit
from assistants.runs.improvement.copied_text import LONG_RUN, NOTHING_COPIED, CopiedText
from assistants.runs.improvement.plan import Optimizer
from assistants.runs.improvement.proposals import shown_text
from assistants.utils import (
    notebook_html,
    packaged_path,
    pluralize,
    split_sentences,
    truncate_line,
)

if TYPE_CHECKING:
    import pandas as pd

Outcome = Literal["helped", "rewording", "harmed", "unclear", "no candidate"]
"""``rewording`` is a gain that cannot be told from that of a paraphrase; ``no candidate`` that none
was better than the original on the cases to choose by, so that the held-out ones were not asked."""

_MUCH_COPIED = 0.1
"""Share of copied words from which a note says so."""


@dataclass(frozen=True, eq=False, repr=False)
class Improvement:
    """A persona, the edit of it that was chosen, and what that is worth on held-out cases.

    Attributes
    ----------
    experiment
        Its name.
    original, improved, paraphrase
        The persona, the candidate that was chosen, and the original in other words. The last two
        are ``None`` where no candidate was better than the original on the cases to choose by.
    names
        Names of the three in the tables.
    model, writer
        The model that answers, and the one that wrote the proposals and the paraphrase.
    optimizer
        The search that made the proposals.
    score, unit, sign
        The score, its unit in the tables, and 1 where more of it is better, -1 where less is.
    split
        The cases.
    candidates
        One row per proposal: ``round``, ``persona`` (missing where the text became none, or
        was not asked), ``refusal`` (the reason) and ``words``.
    choice
        The effect table of the candidates on the cases to choose by.
    held_out
        Three effect tables of one row each, with the column ``baseline`` before them: the improved
        persona against the original, the paraphrase against the original, and the improved persona
        against the paraphrase. The first is that of ``run.effects``. Without rows if none was
        asked.
    audit
        The prompt audit of the held-out run; columns as ``run.prompt_audit``.
    copied
        Text of the improved persona that stands in the cases.
    earlier_looks
        Other winners, models or scores that were looked at on cases of this held-out set before.
    run
        Id of the run on held-out cases, for ``Results.get``; empty if none was asked.
    """

    experiment: str
    original: Persona
    improved: Persona | None
    paraphrase: Persona | None
    names: tuple[str, str, str]
    model: str
    writer: str
    optimizer: Optimizer
    score: str
    unit: str
    sign: int
    split: CaseSplit
    candidates: pd.DataFrame
    choice: pd.DataFrame
    held_out: pd.DataFrame
    audit: pd.DataFrame
    copied: CopiedText = NOTHING_COPIED
    earlier_looks: int = 0
    run: str = ""

    def __repr__(self) -> str:
        return truncate_line(f"Improvement({self.original.name!r}: {self.summary})", 300)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @property
    def outcome(self) -> Outcome:
        """The verdict of the held-out cases."""
        from assistants.analysis import LESS, MORE

        if self.improved is None:
            return "no candidate"
        gain, loss = (MORE, LESS) if self.sign > 0 else (LESS, MORE)
        against_original, _, against_paraphrase = self.held_out["verdict"]
        if against_original == gain:
            return "helped" if against_paraphrase == gain else "rewording"
        return "harmed" if against_original == loss else "unclear"

    @property
    def has_helped(self) -> bool:
        """True if the gain is real on held-out cases, over the original and over a paraphrase."""
        return self.outcome == "helped"

    @property
    def gain_on_choice(self) -> float:
        """The gain on the cases to choose by, in ``unit``; above 0 is better. NaN without one."""
        if self.improved is None:
            return float("nan")
        rows = self.choice[self.choice["persona"] == self.names[1]]
        return float(rows["effect"].iloc[0]) * self.sign if len(rows) else float("nan")

    @property
    def gain(self) -> float:
        """The gain on held-out cases, in ``unit``; above 0 is better. NaN if none was asked."""
        if self.held_out.empty:
            return float("nan")
        return float(self.held_out["effect"].iloc[0]) * self.sign

    @property
    def shrinkage(self) -> float:
        """The part of the gain that was lost from the choice to the held-out cases.

        0 is nothing, 1 all of it, more than 1 a loss. Some is expected: the best of several is
        chosen for its luck as well.
        """
        return 1 - self.gain / self.gain_on_choice

    @property
    def words(self) -> tuple[int, int]:
        """Words of the original and of the improved persona."""
        improved = self.improved or self.original
        return len(shown_text(self.original).split()), len(shown_text(improved).split())

    @property
    def diff(self) -> str:
        """The two texts as a unified diff, one sentence a line; empty without a new one."""
        if self.improved is None:
            return ""
        old, new = (_lines(shown_text(p)) for p in (self.original, self.improved))
        names = self.original.name, self.improved.name
        return "\n".join(unified_diff(old, new, *names, lineterm="", n=len(old) + len(new)))

    @property
    def summary(self) -> str:
        """The outcome in plain words, with its numbers."""
        original, improved, _ = self.names
        left = f"{original} is left as it is."
        if self.improved is None:
            return (
                f"It did not help: no candidate scored better than {original} on the "
                f"{pluralize(len(self.split.choose), 'case')} to choose by, so the held-out cases "
                f"were not asked. {left}"
            )
        gain, of_paraphrase, beyond = map(self._amount, range(3))
        cases = pluralize(int(self.held_out["n_cases"].iloc[0]), "held-out case")
        found = f"on {cases}, {self.score} changes by {gain} from {original} to {improved}"
        rewording = f"A paraphrase of {original} changes it by {of_paraphrase}"
        if self.outcome == "helped":
            return f"It helped: {found}. {rewording}; {improved} is beyond that by {beyond}."
        if self.outcome == "rewording":
            return (
                f"It is not proven to help more than other words do: {found}. {rewording}; "
                f"between the two it is {beyond}: {self.held_out['verdict'].iloc[2]}. {left}"
            )
        if self.outcome == "harmed":
            return f"It did harm: {found}. {left}"
        verdict = self.held_out["verdict"].iloc[0]
        return f"It did not help, as far as can be told: {found}: {verdict}. {rewording}. {left}"

    @property
    def notes(self) -> list[str]:
        """Sentences to read before believing the summary."""
        if self.improved is None:
            return []
        old, new = self.words
        notes = [f"The persona has {pluralize(new, 'word')}; it had {old:,}."]
        if self.gain_on_choice > 0:
            notes.append(
                f"On the {pluralize(len(self.split.choose), 'case')} to choose by, the gain was "
                f"{self.gain_on_choice:.3g} {self.unit}; on the held-out ones {self.gain:.3g}: "
                + (f"{self.shrinkage:.0%} of it is gone." if self.shrinkage > 0 else "all is left.")
            )
        if self.copied.words >= LONG_RUN:
            much = "Much" if self.copied.share >= _MUCH_COPIED else "Some"
            notes.append(
                f"{much} of the new text was copied out of the cases: {self.copied.share:.0%} of "
                f"its words, the longest run {self.copied.words:,} words: {self.copied.passage!r}."
            )
        else:
            notes.append(f"No {LONG_RUN} words in a row were copied out of the cases.")
        if self.earlier_looks:
            looks = self.earlier_looks + 1
            notes.append(
                f"This is look number {looks} at these held-out cases. Each has its own chance of "
                f"a false alarm, so that of all together is up to {looks} times as high: hold "
                "out new cases before you believe a gain."
            )
        is_bad = self.audit["ok"].eq(False).fillna(False).astype(bool)  # often it is not known
        notes += [
            f"Prompt audit of {row.persona}: {row.verdict}. {row.note}".rstrip()
            for row in self.audit[is_bad].itertuples()
        ]
        rows: dict[str, list[str]] = {}
        for row in self.held_out.itertuples():
            rows.setdefault(row.note, []).append(f"{row.persona} against {row.baseline}")
        notes += [f"{', '.join(of)}: {note}" for note, of in rows.items() if note]
        return notes

    def text_of(self, persona: Persona) -> str:
        """Return a persona's text as a person reads it; variables stay where there are some."""
        return shown_text(persona)

    def save(self, folder: str | Path | None = None) -> Path:
        """Write the improved persona as a file of its own, and return its path.

        No file that is there is changed. Its name is the original's with ``-improved``, and a
        number where that is taken.

        Parameters
        ----------
        folder
            That of the original's file by default; ``personas`` where that came with the package
            or was written in an experiment.

        Raises
        ------
        ValueError
            If there is no improved persona.
        """
        if self.improved is None:
            raise ValueError(f"No candidate was better than {self.original.name}.")
        persona = self.improved
        target = self._folder if folder is None else Path(folder)
        taken = {*Library.default().names(), *(path.stem for path in target.glob("*.md"))}
        name, number = persona.name, 1
        while name in taken:
            number += 1
            name = f"{persona.name}-{number}"
        path = target / f"{name}.md"
        head = {
            "label": persona.label,
            "description": persona.description,
            "sampling": persona.sampling.as_dict(),
            "vars": dict(persona.defaults),
        }
        write_persona(path, persona.text or "", {k: v for k, v in head.items() if v})
        return path

    @property
    def _folder(self) -> Path:
        file = Path(self.original.source)
        is_packaged = file.resolve().is_relative_to(packaged_path("personas").resolve())
        return file.parent if file.is_file() and not is_packaged else Path("personas")

    def _amount(self, row: int) -> str:
        effect, low, high = self.held_out[["effect", "low", "high"]].iloc[row]
        interval = "no interval" if low != low else f"95% interval {low:+.3g} to {high:+.3g}"
        return f"{effect:+.3g} {self.unit} ({interval})".replace("  ", " ")


def _lines(text: str) -> list[str]:
    sentences = split_sentences(text)
    return list(sentences.texts) if len(sentences) else [text]
