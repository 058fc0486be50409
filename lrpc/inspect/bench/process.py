"""Call a function in a Python process of its own, which nothing else has filled with memory or settings."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from passes.errors import LrpcError

Result = TypeVar("Result")


def in_own_process(
    function: Callable[..., Result], *arguments: object, environment: Mapping[str, str] | None = None
) -> Result:
    """Return function(*arguments), called in a fresh process.

    function: one that can be imported by its name; arguments and result are pickled.
    environment: variables to set there.
    Raises LrpcError where the process dies, and any error that the function raises.
    """
    paths = os.pathsep.join([os.getcwd(), *filter(None, sys.path)])
    variables = {**os.environ, "PYTHONPATH": paths, **(environment or {})}
    with tempfile.TemporaryDirectory(prefix="lrpc-") as folder:
        answer = Path(folder) / "answer"
        command = [sys.executable, "-W", "ignore", "-m", "lrpc.inspect.bench.process", str(answer)]
        task = pickle.dumps((function, arguments))
        done = subprocess.run(command, input=task, capture_output=True, env=variables, check=False)
        if not answer.exists():
            last = (done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
            raise LrpcError(f"A process ended with code {done.returncode}: {last}", hint="Is there enough memory?")
        result, error = pickle.loads(answer.read_bytes())
    if error is not None:
        raise error
    value: Result = result
    return value


def peak_memory() -> int:
    """Return the most memory that this process has held at once, in bytes.

    Linux tells it as VmHWM; ru_maxrss would be at least the size of the process that started this one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    import resource  # which Windows has not

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _main() -> None:
    function, arguments = pickle.loads(sys.stdin.buffer.read())
    result, raised = None, None
    try:
        result = function(*arguments)
    except LrpcError as error:
        raised = error
    Path(sys.argv[1]).write_bytes(pickle.dumps((result, raised)))


if __name__ == "__main__":
    _main()
