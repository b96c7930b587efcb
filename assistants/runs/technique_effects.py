"""Effects of a technique: its assistants compared with the same ones without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistants.errors import UnknownNameError
from assistants.runs import tables
from assistants.techniques import UNUSED, name_suffix

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class TechniqueArms:
    """The trials of a run, arranged so that a technique's labels are what is compared.

    Attributes
    ----------
    technique
        Its name, which is a column of ``trials``.
    trials
        The trials table of a run with techniques.
    """

    technique: str
    trials: pd.DataFrame

    @property
    def labels(self) -> list[str]:
        """The labels that occur, in the order of the experiment."""
        return list(dict.fromkeys(self.trials[self.technique]))

    def baseline(self, named: str | None) -> str:
        """Return the label that the others are compared with: ``none``, if it is there.

        Raises
        ------
        UnknownNameError
            For a label that does not occur.
        """
        labels = self.labels
        if named is None:
            return UNUSED if UNUSED in labels else labels[0]
        if named not in labels:
            raise UnknownNameError(self.technique, named, labels)
        return named

    def rearranged(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Return scores with the label as their ``persona``, and all else in ``model``.

        Assistants that meet no other label of the technique are left out: they have no partner.
        """
        place = self._places().set_index(["persona", "model"])
        pairs = list(zip(scores["persona"], scores["model"], strict=True))
        found = place.loc[pairs]
        frame = scores.assign(persona=found["label"].to_numpy(), model=found["rest"].to_numpy())
        several = frame.groupby("model")["persona"].transform("nunique") > 1
        return frame[several]

    def restored(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return an effect table with a column for the technique, and ``persona`` and ``model``."""
        names = self._places().drop_duplicates("rest").set_index("rest")
        rest = list(table["model"])
        return table.rename(columns={"persona": self.technique}).assign(
            persona=names.loc[rest, "without"].to_numpy(), model=names.loc[rest, "on"].to_numpy()
        )[[self.technique, "persona", "model", *table.columns[2:]]]

    def _places(self) -> pd.DataFrame:
        """Return, for each persona and model, the label and everything but the label."""
        others = [n for n in tables.technique_names(self.trials) if n != self.technique]
        columns = ["persona", "model", "base_persona", self.technique, *others]
        places = self.trials[columns].drop_duplicates(["persona", "model"])
        without = places["base_persona"].astype(object)
        for name in others:
            labels = places[name].map(lambda label, n=name: name_suffix(n, label))
            without = without + labels
        return places.assign(
            label=places[self.technique],
            without=without,
            on=places["model"],
            rest=without + " on " + places["model"].astype(object),
        )
