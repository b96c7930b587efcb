"""GPUs are found where a driver is, written by hand where none is, and never a crash."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from assistants.errors import UsageError
from assistants.servers import GIB, Gpu, find_gpus, parse_gpus
from support.fake_nvml import install_driver


def card(
    name: str | bytes = "NVIDIA L4",
    *,
    taken: int = 0,
    broken: bool = False,
    divided: bool | None = None,
) -> object:
    free = 22 * GIB - taken
    return SimpleNamespace(name=name, total=22 * GIB, free=free, broken=broken, divided=divided)


def test_a_machine_says_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Index, name, size and what others hold come from the driver; old ones answer in bytes."""
    install_driver(monkeypatch, [card(taken=3 * GIB), card(b"Tesla T4")])
    first, second = find_gpus()
    assert (first.index, first.name, first.total, first.taken) == (
        0,
        "NVIDIA L4",
        22 * GIB,
        3 * GIB,
    )
    assert (second.index, second.name, second.taken) == (1, "Tesla T4", 0)


def test_no_driver_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a driver there are no GPUs, and a sentence says why."""
    said: list[str] = []
    install_driver(monkeypatch, [], fails=True)
    assert find_gpus(said.append) == []
    assert "Driver Not Loaded" in said[0]


def test_this_machine_is_asked_without_a_crash() -> None:
    """Whatever driver this machine has or has not: an answer, and a reason if it is empty."""
    said: list[str] = []
    assert find_gpus(said.append) or said


def test_no_library_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nvidia-ml-py nothing is found, and its name is said."""
    said: list[str] = []
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert find_gpus(said.append) == []
    assert "nvidia-ml-py" in said[0]


def test_a_broken_card_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that does not answer is named and left out; the others keep their index."""
    said: list[str] = []
    install_driver(monkeypatch, [card(broken=True), card()])
    assert [gpu.index for gpu in find_gpus(said.append)] == [1]
    assert "GPU 0" in said[0]


def test_a_divided_card_is_not_planned_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a card in MIG mode a server gets a part; one that could be divided and is not counts."""
    said: list[str] = []
    install_driver(monkeypatch, [card(divided=True), card(divided=False)])
    assert [gpu.index for gpu in find_gpus(said.append)] == [1]
    assert "GPU 0 is divided (MIG)" in said[0]


@pytest.mark.parametrize(
    ("given", "left", "told"),
    [
        ("1", [1], "leaves GPU 1, of 3"), ("2,0", [0, 2], "leaves GPUs 0 and 2, of 3"),
        ("", [], "leaves no GPU"), ("-1", [], "leaves no GPU"),
        ("GPU-8932f937", [0, 1, 2], "not understood"), ("0,1,2", [0, 1, 2], ""),
    ],
)  # fmt: skip
def test_only_cards_that_are_given_are_planned(
    monkeypatch: pytest.MonkeyPatch, given: str, left: list[int], told: str
) -> None:
    """``CUDA_VISIBLE_DEVICES`` gives some: the others are somebody else's, and that is said."""
    said: list[str] = []
    install_driver(monkeypatch, [card(), card(), card()])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert [gpu.index for gpu in find_gpus(said.append)] == left
    assert told in " ".join(said)
    assert bool(said) == bool(told)
    assert len(find_gpus(hidden=True)) == 3


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("24GiB,24GiB", [24 * GIB, 24 * GIB]),
        ("24", [24 * GIB]),
        (" 2x80GiB , 24 gib", [80 * GIB, 80 * GIB, 24 * GIB]),
        ("80GB", [80_000_000_000]),
        ("22.5GiB", [round(22.5 * GIB)]),
        ("2xH100,t4", [80 * GIB, 80 * GIB, 15 * GIB]),
    ],
)
def test_gpus_can_be_written_by_hand(text: str, sizes: list[int]) -> None:
    """Sizes, counts and common cards; all of such a GPU is free, and they are counted from 0."""
    made = parse_gpus(text)
    assert [gpu.total for gpu in made] == sizes
    assert [gpu.index for gpu in made] == list(range(len(sizes)))
    assert all(gpu.taken == 0 for gpu in made)


@pytest.mark.parametrize(
    "text",
    ["", ",", "24GiB,", "-24GiB", "0x24GiB", "0", "24TB", "nan", "1e9", "h1000", "2x", "9" * 40],
)
def test_what_is_no_gpu_is_refused(text: str) -> None:
    """A mistyped size is an error that shows how to write one."""
    with pytest.raises(UsageError, match="24GiB"):
        parse_gpus(text)


def test_a_million_gpus_are_a_mistake() -> None:
    """A count that nobody means does not fill the memory."""
    with pytest.raises(UsageError, match=r"1,024"):
        parse_gpus("999999x24GiB")


def test_a_gpu_is_shown_with_what_others_hold() -> None:
    """One line a person can read, with nothing in it that moves the cursor."""
    shown = str(Gpu(1, "L4\x1b[2J", 22 * GIB, 20 * GIB))
    assert "22.0 GiB, 2.0 GiB of it taken by others" in shown
    assert "\x1b" not in shown
