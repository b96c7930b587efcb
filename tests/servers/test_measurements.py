"""What a start showed is kept, replaced by a newer one, and stands beside the prediction."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from assistants.errors import FileError
from assistants.servers import (
    GIB,
    ModelRequest,
    StartMeasurement,
    load_measurements,
    make_plan,
    measure_start,
    parse_gpus,
    read_model,
    save_measurements,
)
from support.published_configs import CONFIGS


def measurement(model: str, cache_tokens: int = 1) -> StartMeasurement:
    return StartMeasurement(model, "L4", 1, "16 bit", "auto", 4096, GIB, cache_tokens, 1)


def test_predicted_and_measured_stand_side_by_side() -> None:
    """Rows are a table; a model that was not measured has nothing beside it."""
    gpus = parse_gpus("2x24GiB")
    names = ("Llama-3.1-8B", "Qwen3-8B")
    models = [ModelRequest(name, read_model(CONFIGS[name][1])) for name in names]
    plan = make_plan(models, gpus)
    first = next(server for server in plan.servers if server.name == "Llama-3.1-8B")
    assert first.cache_tokens is not None
    seen = measure_start(first, gpus[0], first.cache_tokens * 11 // 10, 20 * GIB)
    assert seen.budget == math.ceil(24 * GIB * first.utilization)
    frame = pd.DataFrame(plan.compare_with_measured([seen])).set_index("model")
    assert frame.loc["Llama-3.1-8B", "cache_off_percent"] == pytest.approx(10, abs=0.1)
    assert frame.loc["Llama-3.1-8B", "measured_cache_tokens"] == seen.cache_tokens
    assert frame.loc["Llama-3.1-8B", "measured_memory_gib"] == 20
    assert pd.isna(frame.loc["Qwen3-8B", "measured_cache_tokens"])


def test_a_newer_measurement_replaces_the_older(tmp_path: Path) -> None:
    """One record for one kind of start, and the file does not grow for ever."""
    path = tmp_path / "new" / "measured.json"
    assert load_measurements(path) == ()
    save_measurements([measurement("m"), measurement("n")], path)
    save_measurements([measurement("m", 2)], path)
    assert load_measurements(path) == (measurement("n"), measurement("m", 2))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"measured": [1]}', '{"measured": [{}]}', '{"measured": 3}', "[" * 9000,
     '{"measured": [{"model": "m", "gpu": "g", "tensor_parallel": 0, "weights": "", "cache": "",'
     ' "context": 0, "budget": 1, "cache_tokens": 1, "memory": 1}]}'],
)  # fmt: skip
def test_a_damaged_record_is_refused(tmp_path: Path, text: str) -> None:
    """The error names the file and says that it may go."""
    path = tmp_path / "measured.json"
    path.write_text(text)
    with pytest.raises(FileError, match="Delete it"):
        load_measurements(path)
