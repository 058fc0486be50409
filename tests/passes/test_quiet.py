"""onnx-graphsurgeon prints warnings, and that it lacks colours for them, to stdout: none of it reaches a user."""

from __future__ import annotations

import subprocess
import sys

import onnx
import onnx.parser
import pytest

HEADER = '<ir_version: 10, opset_import: ["" : 18]>\n'
SPOKEN_OF = "g (float[n,4] x, bfloat16[n,4] z) => (float[n,4] y, bfloat16[n,4] w) { y = Relu(x) w = Relu(z) }"
"""onnx-graphsurgeon warns of every tensor of a type that numpy lacks; the explained output reads none."""

PYTHON = "import lrpc; lrpc.compile('model.onnx', output='y'); print('done')"
COMMANDS = {
    "lrpc plan": ["-m", "lrpc", "plan", "model.onnx", "--output", "y", "--json"],
    "lrpc compile": ["-m", "lrpc", "compile", "model.onnx", "--output", "y"],
    "import lrpc": ["-c", "import lrpc; print('done')"],
    "lrpc.compile": ["-c", PYTHON],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_line_of_another_library_is_printed(command, tmp_path):
    onnx.save(onnx.parser.parse_model(HEADER + SPOKEN_OF), tmp_path / "model.onnx")
    run = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout
    printed = run.stdout + run.stderr
    assert not [line for line in printed.splitlines() if line.startswith(("[W]", "[E]", "[I]", "[C]"))]
    assert "colored" not in printed
    assert "BFLOAT16" not in printed
