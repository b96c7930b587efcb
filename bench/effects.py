"""The effect table of 200 personas, 2,000 cases and 3 repeats: seconds and peak memory.

    python bench/effects.py [--personas 200] [--cases 2000] [--repeats 3]

The promise: 1.2 million scores in less than 10 seconds and 2 GB. ``--check`` makes a broken promise
the exit code.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np
import pandas as pd

from assistants.analysis import effects


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def scores(personas: int, cases: int, repeats: int) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    shape = (personas, cases, repeats)
    names = np.array([f"persona-{i}" for i in range(personas)], dtype=object)
    ids = np.array([f"case-{i}" for i in range(cases)], dtype=object)
    value = generator.normal(size=shape) + generator.normal(size=(1, cases, 1))
    value += np.linspace(0, 0.2, personas)[:, None, None]
    value[generator.random(shape) < 0.01] = np.nan
    frame = pd.DataFrame(
        {
            "persona": pd.array(np.repeat(names, cases * repeats), dtype="str"),
            "case": pd.array(np.tile(np.repeat(ids, repeats), personas), dtype="str"),
            "repeat": np.tile(np.arange(repeats), personas * cases),
            "value": value.ravel(),
        }
    )
    frame["model"] = pd.array(["scripted:bench"] * len(frame), dtype="str")
    frame["status"] = pd.array(["ok"] * len(frame), dtype="str")
    return frame


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--personas", type=int, default=200)
    options.add_argument("--cases", type=int, default=2_000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--check", action="store_true")
    chosen = options.parse_args()
    frame = scores(chosen.personas, chosen.cases, chosen.repeats)
    before = peak_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    table = effects(frame, "bench", baseline="persona-0", unit="words")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert len(table) == chosen.personas - 1
    print(f"{len(frame):,} scores: {wall:.1f} s ({cpu:.1f} s of CPU)")
    print(f"peak {peak_mb():.0f} MB, of which {before:.0f} MB were there before")
    kept = wall < 10 and peak_mb() < 2_000
    print(f"promise (< 10 s, < 2 GB): {'kept' if kept else 'BROKEN'}")
    return 0 if kept or not chosen.check else 1


if __name__ == "__main__":
    sys.exit(main())
