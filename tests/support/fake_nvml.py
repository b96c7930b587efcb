"""The NVIDIA driver, as far as nvidia-ml-py tells of it."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest


class DriverError(Exception):
    """What the driver's library raises."""


def install_driver(
    monkeypatch: pytest.MonkeyPatch, cards: list[object], *, fails: bool = False
) -> None:
    """The library that speaks to the driver, as nvidia-ml-py offers it."""

    def init() -> None:
        if fails:
            raise DriverError("Driver Not Loaded")

    def memory(card: SimpleNamespace) -> SimpleNamespace:
        if card.broken:
            raise DriverError("GPU is lost")
        return SimpleNamespace(total=card.total, free=card.free, used=card.total - card.free)

    def divided(card: SimpleNamespace) -> list[int]:
        if card.divided is None:
            raise DriverError("Not Supported")
        return [int(card.divided), 0]

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    library = ModuleType("pynvml")
    library.NVMLError = DriverError  # type: ignore[attr-defined]
    library.nvmlInit = init  # type: ignore[attr-defined]
    library.nvmlShutdown = lambda: None  # type: ignore[attr-defined]
    library.nvmlDeviceGetCount = lambda: len(cards)  # type: ignore[attr-defined]
    library.nvmlDeviceGetHandleByIndex = lambda index: cards[index]  # type: ignore[attr-defined]
    library.nvmlDeviceGetMemoryInfo = memory  # type: ignore[attr-defined]
    library.nvmlDeviceGetMigMode = divided  # type: ignore[attr-defined]
    library.nvmlDeviceGetName = lambda card: card.name  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", library)
