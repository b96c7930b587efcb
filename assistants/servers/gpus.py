"""GPUs: those that the driver lists, or those that a person writes down to plan without one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from assistants.errors import UsageError, nearest
from assistants.utils.text import escape_control_chars

GIB = 1 << 30

MAX_GPUS = 1024
"""A plan for more is a mistyped number."""

CARDS: dict[str, float] = {
    "t4": 15, "l4": 22.5, "a10": 22.5, "rtx3090": 24, "rtx4090": 24, "rtx5090": 32, "a40": 45,
    "l40s": 45, "a6000": 48, "a100-40": 40, "a100": 80, "h100": 80, "h200": 140.4, "b200": 179,
}  # fmt: skip
"""GiB that a driver reports of common cards, rounded; a size written out always wins."""

MessageCallback = Callable[[str], None]
"""Receives a sentence about what was found."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; ``total`` and ``free`` are bytes, ``index`` is what CUDA_VISIBLE_DEVICES counts."""

    index: int
    name: str
    total: int
    free: int

    @property
    def taken(self) -> int:
        """Bytes that other processes and the driver hold."""
        return self.total - self.free

    def __str__(self) -> str:
        held = f", {gib(self.taken)} of it taken by others" if self.taken else ""
        return f"GPU {self.index} ({escape_control_chars(self.name)}): {gib(self.total)}{held}"


def gib(size: float) -> str:
    """Return bytes as a person reads them: ``22.4 GiB``."""
    return f"{size / GIB:,.1f} GiB"


def gpu_names(indices: Sequence[int]) -> str:
    """Return ``GPU 0``, or ``GPUs 0 and 1``."""
    *others, last = map(str, indices)
    return f"GPUs {', '.join(others)} and {last}" if others else f"GPU {last}"


def find_gpus(report: MessageCallback = lambda _: None, *, hidden: bool = False) -> list[Gpu]:
    """List the GPUs of this machine that are whole and ours, as its NVIDIA driver counts them.

    Parameters
    ----------
    report
        Told why the list is empty, or shorter than it should be; the list itself never fails.
    hidden
        Those too that ``CUDA_VISIBLE_DEVICES`` leaves out: whoever names one means it.
    """
    try:
        import pynvml
    except ImportError:
        report("nvidia-ml-py is not installed, so no GPU was looked for.")
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        report(
            f"No NVIDIA driver answers here ({_message(error)}), so there is no GPU to plan for."
        )
        return []
    try:
        listed = [_read_gpu(pynvml, index, report) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        report(f"The NVIDIA driver could not list its GPUs ({_message(error)}).")
        return []
    finally:
        pynvml.nvmlShutdown()
    if not listed:
        report("The NVIDIA driver answers, and has no GPU.")
    whole = [gpu for gpu in listed if gpu]
    return whole if hidden else _visible_gpus(whole, report)


def parse_gpus(text: str) -> list[Gpu]:
    """Parse GPUs as a person writes them: ``24GiB,24GiB``, ``2x80GiB``, ``2xh100,l4``.

    A bare number is GiB; ``GB`` is a thousand million bytes, as on the box.

    Raises
    ------
    UsageError
        For anything else, no GPU at all, or more than 1,024.
    """
    gpus: list[Gpu] = []
    for part in (piece.strip() for piece in text.split(",")):
        times, what = _split_count(part)
        name, size = _name_and_size(what, part)
        if len(gpus) + times > MAX_GPUS:
            raise UsageError(f"{text!r} is more than {MAX_GPUS:,} GPUs.", fix="Check the number.")
        gpus += [Gpu(len(gpus) + n, name, size, size) for n in range(times)]
    return gpus


def parse_size(text: str) -> int:
    """Parse a size as a person writes it, ``4GiB``, into bytes.

    Raises
    ------
    UsageError
        For anything that is not so many GiB or GB, at least one.
    """
    try:
        (only,) = parse_gpus(text)
    except (UsageError, ValueError):
        raise UsageError(f"{text!r} is no size.", fix="Write it as 4GiB.") from None
    return only.total


def _split_count(part: str) -> tuple[int, str]:
    match = re.fullmatch(r"([0-9]{1,6})\s*[x*]\s*(.+)", part, re.IGNORECASE)
    return (int(match[1]), match[2].strip()) if match else (1, part)


def _name_and_size(what: str, part: str) -> tuple[str, int]:
    card = what.lower().replace(" ", "")
    if card in CARDS:
        return card, round(CARDS[card] * GIB)
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(gib|gb|g|)", what, re.IGNORECASE)
    size = float(match[1]) * (10**9 if match[2].lower() == "gb" else GIB) if match else 0
    if size < GIB or part.startswith("0x"):
        fix = f"Write sizes such as 24GiB, 2x80GiB, or a card. {nearest(card, CARDS)}"
        raise UsageError(f"{part!r} is no GPU.", fix=fix)
    return gib(size), round(size)


def _visible_gpus(listed: list[Gpu], report: MessageCallback) -> list[Gpu]:
    """Return those that ``CUDA_VISIBLE_DEVICES`` gives this process: perhaps not all."""
    setting = os.environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None:
        return listed
    words = [word.strip() for word in setting.split(",")] if setting.strip() else []
    if not all(re.fullmatch("-?[0-9]{1,4}", word) for word in words):
        report("CUDA_VISIBLE_DEVICES names GPUs by more than their number, which is not understood "
               "here, so all of them count. Set it to numbers, such as 0,1.")  # fmt: skip
        return listed
    visible = [gpu for gpu in listed if str(gpu.index) in words]
    if len(visible) < len(listed):
        left = gpu_names([gpu.index for gpu in visible]) if visible else "no GPU"
        report(f"CUDA_VISIBLE_DEVICES leaves {left}, of {len(listed)} here.")
    return visible


def _read_gpu(nvml: Any, index: int, report: MessageCallback) -> Gpu | None:
    """Return one GPU, or nothing if it does not answer: a broken card must not hide the others.

    Of one that is divided (MIG) a server gets a part at most, whatever all of it holds.
    """
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        name = nvml.nvmlDeviceGetName(handle)
    except nvml.NVMLError as error:
        report(f"GPU {index} does not answer ({_message(error)}) and is left out.")
        return None
    with suppress(nvml.NVMLError):  # most cards cannot be divided, and say so with an error
        if nvml.nvmlDeviceGetMigMode(handle)[0]:
            report(f"GPU {index} is divided (MIG), which is not planned, and is left out.")
            return None
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return Gpu(index, text, int(memory.total), int(memory.free))


def _message(error: Exception) -> str:
    return escape_control_chars(str(error)).strip() or type(error).__name__
