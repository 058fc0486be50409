"""500 damaged files: each is refused in lrpc's words, or compiles to what ONNX Runtime computes for that very file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants import SECONDS

ROOT = Path(__file__).parents[2]
FILES, STEP = 500, 250

MAY_DISAGREE = {"other_opset"}
"""An opset that ONNX Runtime does not run is brought to one that it does: it refuses the file, and lrpc does not."""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, FILES, STEP))
def test_a_damaged_file_is_refused_or_compiled_right(first):
    command = [sys.executable, "-m", "tests.mutants", str(first), str(first + STEP)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=STEP * SECONDS / 10)
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert run.returncode == 0, f"crashed on {lines[-1]}: {run.stderr[-2000:]}"
    ends = [line for line in lines if "end" in line]
    assert len(ends) == STEP
    print(f"\n{dict(Counter(line['end'] for line in ends))}, slowest {max(line['seconds'] for line in ends)} s")
    assert [line for line in ends if line["end"] not in ("refused", "compiled")] == []
    assert [line for line in ends if line["broken"] and line["end"] != "refused"] == []
    compiled = [line for line in ends if line["end"] == "compiled" and line["text"]]
    assert [line for line in compiled if line["way"] not in MAY_DISAGREE] == []
