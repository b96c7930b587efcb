"""What a person wants to see of a stored run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from assistants.errors import UnknownNameError

_LISTS = ("status", "persona", "model")


@dataclass(frozen=True, slots=True)
class Filter:
    """What to show. ``text`` is looked for in answers and questions, ``case`` in names of cases.

    An empty one lets everything through.
    """

    text: str = ""
    status: tuple[str, ...] = ()
    persona: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    case: str = ""
    failures_first: bool = True

    @classmethod
    def of(cls, **wanted: Any) -> Self:
        """Of what a person or a page asks for: one name or several, and nothing unknown.

        Raises
        ------
        UnknownNameError
            For a filter that there is not.
        """
        for name in wanted:
            if name not in cls.__slots__:
                raise UnknownNameError("filter", name, cls.__slots__)
        for name in {*_LISTS} & {*wanted}:
            names = wanted[name]
            if isinstance(names, str):
                names = [names] if names else []
            wanted[name] = tuple(str(each) for each in names)
        return cls(**wanted)

    def __str__(self) -> str:
        parts = {name: ", ".join(getattr(self, name)) for name in _LISTS}
        parts |= {"case": self.case, "with": self.text and repr(self.text)}
        return ", ".join(f"{name} {value}" for name, value in parts.items() if value)

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
