"""A driver without a device: ONNX Runtime's CUDA provider places nodes on it, and computes nothing.

The provider in the onnxruntime-gpu wheel needs the CUDA libraries to load. Here each of their functions that
it calls is one that succeeds and does nothing; memory is the host's. That is enough for sessions to open, for
nodes to be placed as they would be on a GPU, and for buffers and captured graphs to be handled; kernels
do not run, so that no value may be looked at.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime as ort

ROOT = Path(__file__).parents[1]
PROVIDER = Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"

_ALLOCATE = "*p = aligned_alloc(256, (n + 511) / 256 * 256); return 0;"
_BODIES = {
    "cudaMalloc": ("void **p, size_t n", _ALLOCATE),
    "cudaMallocHost": ("void **p, size_t n", _ALLOCATE),
    "cudaHostAlloc": ("void **p, size_t n, unsigned flags", _ALLOCATE),
    "cudaFree": ("void *p", "free(p); return 0;"),
    "cudaFreeHost": ("void *p", "free(p); return 0;"),
    "cudaMemcpy": ("void *to, void *from, size_t n, int kind", "memcpy(to, from, n); return 0;"),
    "cudaMemcpyAsync": ("void *to, void *from, size_t n, int kind, void *s", "memcpy(to, from, n); return 0;"),
    "cudaMemset": ("void *p, int value, size_t n", "memset(p, value, n); return 0;"),
    "cudaMemsetAsync": ("void *p, int value, size_t n, void *s", "memset(p, value, n); return 0;"),
    "cudaGetDeviceCount": ("int *n", "*n = 1; return 0;"),
    "cudaGetDevice": ("int *n", "*n = 0; return 0;"),
    "cudaMemGetInfo": ("size_t *unused, size_t *all", "*unused = *all = 8ul << 30; return 0;"),
    "cudaDriverGetVersion": ("int *v", "*v = 13000; return 0;"),
    "cudaRuntimeGetVersion": ("int *v", "*v = 13000; return 0;"),
    "cudaDeviceGetAttribute": ("int *v, int attribute, int device", "*v = 1; return 0;"),
    # totalGlobalMem, warpSize, maxThreadsPerBlock, major, multiProcessorCount of a cudaDeviceProp
    "cudaGetDeviceProperties": (
        "char *p, int device",
        "memset(p, 0, 512); *(long *)(p + 288) = 8l << 30; *(int *)(p + 308) = 32;"
        " *(int *)(p + 320) = 1024; *(int *)(p + 360) = 9; *(int *)(p + 384) = 100; return 0;",
    ),
    "cudaStreamEndCapture": ("void *s, void **graph", "*graph = malloc(64); return 0;"),
    "cudnnGetVersion": ("void", "return 90000;"),
    "__cudaRegisterFatBinary": ("void *p", "static void *handle; return (long)&handle;"),
}
_TEXTS = re.compile(r"Get(Error|Status)(String|Name)$")
_MAKES = re.compile(r"^(cuda(Stream|Event)|cublas(Lt)?|cudnn)Create|^cudaGraphInstantiate$")


def build(folder: Path) -> str:
    """Compile the libraries into a folder; return why that cannot be done here, "" where it was."""
    missing = [tool for tool in ("cc", "nm", "readelf") if shutil.which(tool) is None]
    if missing or not PROVIDER.is_file():
        return f"no {', '.join(missing) or PROVIDER.name} here"
    needed = re.findall(r"NEEDED.*\[(libcu.*)\]", _output("readelf", "-d"))
    called = re.findall(r" U ((?:cu|__cuda)\w+)", _output("nm", "-D", "--undefined-only"))
    # cuDNN is looked up by name when it is first used.
    looked_up = {name.decode() for name in re.findall(rb"(?<=\0)cudnn[A-Z]\w+(?=\0)", PROVIDER.read_bytes())}
    source = folder / "stub.c"
    functions = [_function(name) for name in sorted({*called, *looked_up, "cudnnGetVersion", "cudnnCreate"})]
    source.write_text("\n".join(["#include <stdlib.h>", "#include <string.h>", *functions]))
    library = folder / "stub.so"
    subprocess.run(["cc", "-w", "-shared", "-fPIC", "-o", library, source], check=True)
    for name in (*needed, "libcudnn.so.9"):
        (folder / name).symlink_to(library)
    return ""


def run(folder: Path, code: str) -> str:
    """Run Python code in a process that sees the stub; return what it printed. It must not fail."""
    script = f"{code}\nimport os, sys\nsys.stdout.flush()\nos._exit(0)\n"  # nothing of CUDA is torn down
    environment = os.environ | {"LD_LIBRARY_PATH": str(folder)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script],
                          capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _function(name: str) -> str:
    if name in _BODIES:
        arguments, body = _BODIES[name]
        return f"long {name}({arguments}) {{ {body} }}"
    if _TEXTS.search(name):
        return f'const char *{name}() {{ return "stub"; }}'
    if _MAKES.match(name):
        return f"int {name}(void **p) {{ *p = malloc(64); return 0; }}"
    return f"int {name}() {{ return 0; }}"


def _output(*command: str) -> str:
    return subprocess.run([*command, PROVIDER], capture_output=True, text=True, check=True).stdout
