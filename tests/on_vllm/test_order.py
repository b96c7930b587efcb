"""The benchmark of the order of trials, on a real server: it runs, and its table is whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from support.vllm_serving import Machine, Served

ORDER = Path(__file__).parents[2] / "bench" / "order.py"
ROW = re.compile(r"^(\S+) +([\d.]+) +([\d.]+)x +([\d,]+) +([\d,]+) +(\d+)%$", re.MULTILINE)


def test_each_order_has_its_time_and_what_the_cache_found(machine: Machine, server: Served) -> None:
    """Seconds, their ratio, and the queries and hits of the server, for all three orders."""
    line = [f"vllm:{server.model}", "--personas", "4", "--cases", "2", "--words", "200"]
    done = subprocess.run(
        [sys.executable, str(ORDER), *line, "--in-flight", "1"],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "4 personas of" in done.stdout
    rows = ROW.findall(done.stdout)
    assert [row[0] for row in rows] == ["persona-major", "shuffled", "case-major"], done.stdout
    assert rows[0][2] == "1.00"
    for _, seconds, _, queries, hits, rate in rows:
        asked, found = (int(number.replace(",", "")) for number in (queries, hits))
        assert float(seconds) > 0
        assert asked > 8 * 200  # eight prompts, and no word is less than a token
        assert 4 * 128 <= found < asked  # each persona's second question finds a block of it
        assert abs(100 * found / asked - int(rate)) <= 0.5
