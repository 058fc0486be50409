"""What the machine is, by the model of its processor and the versions of what runs on it."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("lrpc", "onnx", "onnxruntime", "onnxruntime-gpu", "torch", "torchvision", "zennit")


def describe(provider: str) -> dict[str, Any]:
    """Return {"provider", "processor", "cores", "gpu" (on "cuda" only), "system", "load", "versions"}.

    load: how many processes wanted a core during the last minute, 0 where the system does not tell.
    """
    gpu = {"gpu": _gpu()} if provider == "cuda" else {}
    python = {"python": platform.python_version()}
    return {
        "provider": provider,
        "processor": _processor(),
        "cores": cores(),
        **gpu,
        "system": platform.system(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else 0.0,
        "versions": python | _versions(),
    }


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _gpu() -> str:
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "a CUDA device"
    name, _, driver = done.stdout.splitlines()[0].partition(",")
    return f"{name.strip()}, driver {driver.strip()}"


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
