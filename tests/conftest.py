"""What every test may rely on: an environment without keys, and a folder of its own."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from assistants.utils import api_keys
from assistants.utils.imports import quick_imports
from support.faulty_server import FaultyServer

# Tests run beside each other: threads of their own for sums would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# What else is installed beside the package changes no test.
os.environ["ASSISTANTS_NO_PLUGINS"] = "1"

# The machine may be busy: a slow example says nothing about the law that it tests.
settings.register_profile(
    "assistants",
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("assistants"), max_examples=10)
settings.load_profile("assistants")

# Half the modules import jsonschema in the end, and would build its slowest part for nothing.
with quick_imports(), suppress(ImportError):
    import jsonschema  # noqa: F401


# These run in an environment of their own: `make test-vllm`.
collect_ignore = [] if importlib.util.find_spec("vllm") else ["on_vllm"]

# A shell that starts tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


SLOW_MODULES = (
    "analysis/test_effects_simulated.py", "browser/*", "cli/*", "clients/test_llamacpp*",
    "clients/test_offline*", "runs/test_batch*.py",
    "runs/test_improvement_simulated.py", "runs/test_kill.py",
    "scoring/test_code_runs.py", "servers/test_serve*", "test_docs.py", "test_report*.py",
    "test_secret_leaks.py", "test_wheel.py", "widgets/test_magics*",
)  # fmt: skip
"""Modules that are slow as a whole: nearly each of their tests starts processes or simulates."""


SLOW_TESTS = {
    "test_a_huge_answer_takes_no_time", "test_a_png_is_small_and_has_every_pixel",
    "test_a_second_event_loop", "test_an_interrupt_costs_nothing_twice",
    "test_another_look_at_held_out_cases_is_counted_and_said",
    "test_gepa_is_interrupted_like_any_other", "test_gepa_searches_under_the_same_discipline",
    "test_gepa_stops_at_a_cap",
    "test_bad_templates_deliver_no_text_that_they_spoil",
    "test_equal_input_is_an_equal_picture", "test_every_answer_has_a_score_or_a_reason",
    "test_false_alarms_are_as_rare_as_promised",
    "test_good_templates_deliver_every_text", "test_half_the_calls_fail_and_no_row_is_missing",
    "test_holm_is_that_of_statsmodels", "test_hostile_code_is_printed_without_colours",
    "test_intervals_hold_the_truth", "test_its_intervals_hold_the_truth",
    "test_large_tables_make_small_pictures", "test_laws", "test_long_text_makes_no_long_line",
    "test_names_cannot_break_out", "test_no_name_leads_out_of_the_folders",
    "test_no_repeated_text_takes_long", "test_no_text_makes_more_of_a_page_than_a_page_can_draw",
    "test_no_text_takes_long", "test_raters_at_random_agree_by_chance",
    "test_spending_stops_at_the_cap", "test_whatever_stands_there_is_imported_or_refused",
}  # fmt: skip
"""Tests that compute for over two seconds, with all their parameters."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out modules of which no test is asked for: their imports alone take seconds."""
    asked = config.option.markexpr
    slow = "not slow" in asked and _is_slow(collection_path)
    browser = "not browser" in asked and collection_path.match("tests/browser")
    return True if slow or browser else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark ``SLOW_MODULES`` and ``SLOW_TESTS`` as slow."""
    for item in items:
        name = getattr(item, "originalname", item.name)
        if name in SLOW_TESTS or _is_slow(item.path):
            item.add_marker("slow")


@cache  # asked for each test
def _is_slow(path: Path) -> bool:
    return any(path.match(f"tests/{module}") for module in SLOW_MODULES)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Search for no garbage while tests are collected, nor ever in what is there then: it stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_report_header() -> str:
    """Say which kernel of OpenBLAS computes: `make numerics` chooses another one."""
    try:
        import numpy as np  # noqa: F401 - loads its OpenBLAS
        from threadpoolctl import threadpool_info
    except ImportError:  # an environment without the extras
        return "BLAS kernel: unknown"
    kernels = {library.get("architecture", "unknown") for library in threadpool_info()}
    return f"BLAS kernel: {', '.join(sorted(kernels))}"


@pytest.fixture(autouse=True)
def no_keys_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that an earlier test made known would be redacted from this one's answers."""
    monkeypatch.setattr(api_keys, "_seen", set())


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model of an earlier test refused, or one of the person's own, is not known here."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ".state"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, no settings in the environment, and no user's configuration."""
    for name in list(os.environ):
        ours = name.startswith(("OPENAI_", "VLLM_", "OLLAMA_", "ASSISTANTS_"))
        if ours and name != "ASSISTANTS_NO_PLUGINS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def packages(
    here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder of installed packages, away from ``here``; plug-ins are used."""
    folder = tmp_path_factory.mktemp("packages")
    monkeypatch.delenv("ASSISTANTS_NO_PLUGINS")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    written = {path.stem for place in (folder, here) for path in place.iterdir()}
    for name in list(sys.modules):
        if name.partition(".")[0] in written:
            del sys.modules[name]


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """A loopback server that behaves, and answers with what it received."""
    with FaultyServer() as running:
        yield running
