"""A process that runs cases through the command line's entry point, one after the other.

It reads a line of JSON for each, {"folder", "commands"}, and answers with one: {"code", "output", "error", "peak"}.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

SAMPLE = "sample.npy"
"""Where it is explained and does not exist, one is made in the shape that the bundle's manifest tells."""
_MOST = 1 << 20


def memory() -> tuple[int, int]:
    """Return what this process holds, and the most that it has held since `forget_peak`, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    held = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return held["VmRSS"], held["VmHWM"]


def forget_peak() -> None:
    """Let the kernel count the peak anew (proc(5), clear_refs)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def run(folder: Path, commands: list[list[str]]) -> dict[str, Any]:
    """Run commands in a folder until one ends with anything but 0; tell how the last one ended."""
    from lrpc.cli import main

    os.chdir(folder)
    told: dict[str, Any] = {"code": 0, "output": "", "error": ""}
    for command in commands:
        if SAMPLE in command and not Path(SAMPLE).exists() and not _sample(command[1]):
            break
        text = io.StringIO()
        try:
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                main(command, prog_name="lrpc", standalone_mode=True)
            code, error = 0, ""
        except SystemExit as end:
            code, error = end.code, ""
        except BaseException:
            code, error = None, traceback.format_exc()
        told = {"code": code, "output": f"lrpc {' '.join(command)}\n{text.getvalue()}", "error": error}
        if code != 0:
            break
    return told


def _sample(bundle: str) -> bool:
    """Write an input of the bundle's shape; False where it has none that can be written."""
    import numpy as np

    shape = json.loads(Path(bundle, "manifest.json").read_text())["input"]["shape"]
    if None in shape or np.prod(np.array(shape, float)) > _MOST or _largest(bundle) > _MOST:
        return False
    np.save(SAMPLE, np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32))
    return True


def _largest(bundle: str) -> float:
    """Return how many values a sample's largest tensor has: what is honestly large is compiled here, and not run."""
    import numpy as np
    import onnx
    import onnx.shape_inference

    place = Path("inferred.onnx")
    onnx.shape_inference.infer_shapes_path(str(Path(bundle, "explain.onnx")), str(place))
    values = onnx.load(place, load_external_data=False).graph.value_info
    return max(
        (float(np.prod([d.dim_value or 1.0 for d in v.type.tensor_type.shape.dim])) for v in values), default=0.0
    )


def serve() -> None:
    """Answer until the input ends. What native code prints goes nowhere."""
    answers = os.fdopen(os.dup(1), "w", errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    import lrpc.cli
    import lrpc.compiler
    import lrpc.images.read  # noqa: F401  what every case needs is there before the first is timed

    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        task = json.loads(line)
        gc.collect()
        forget_peak()
        before, _ = memory()
        told = run(Path(task["folder"]), task["commands"])
        told |= {"peak": memory()[1] - before}
        answers.write(json.dumps(told) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
