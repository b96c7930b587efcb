"""The technique ``season: spring``, which says the season below each question."""

from dataclasses import replace

from assistants.messages import TechniqueRecord
from assistants.techniques import Ask, BuildContext, Draft, Load


class Season:
    """A season that the answer is for; its control is another one."""

    def __init__(self, settings: str, context: BuildContext | None = None) -> None:
        self.name, self.label, self.parts = "season", settings, {"season": settings}
        self.sidecars, self.fails_open = (), False

    async def apply(self, draft: Draft, ask: Ask) -> Draft:
        """Return the draft with the season below the question, and a record of it."""
        record = TechniqueRecord(self.name, self.parts)
        return draft.after(record, sent=f"{draft.sent}\n\nIt is {self.label}.")

    def forecast(self, load: Load) -> Load:
        """Return the turn's tokens, with those of the season."""
        return replace(load, question=load.question + 4)

    def control(self, kind: str) -> "Season":
        """Return another season: where it does as well, the season does not matter."""
        return Season(kind)
