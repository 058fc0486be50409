"""Damage models and compile what is left; a line of JSON each: `python -m tests.mutants FIRST LAST`.

A program of its own, under a limit of memory and with an alarm: what hangs, crashes or eats memory is one failed test.
"""

from __future__ import annotations

import gc
import json
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

import lrpc
from tests.graphs import small_resnet

SECONDS, MEMORY = 20, 6 << 30
SHAPES = Path(__file__).parents[1] / "models/shapes/shapes.onnx"
BASES: tuple[Callable[[], onnx.ModelProto], ...] = (
    small_resnet,
    lambda: small_resnet(opset=11),
    lambda: small_resnet(batch=2, opset=9),
    lambda: onnx.load(SHAPES),
)
Damage = Callable[[onnx.ModelProto, random.Random], None]

# --- broken structure: refused, always ----------------------------------------------------------------


def delete_node(proto: onnx.ModelProto, rng: random.Random) -> None:
    del proto.graph.node[rng.randrange(len(proto.graph.node))]


def repeat_node(proto: onnx.ModelProto, rng: random.Random) -> None:
    proto.graph.node.append(rng.choice(proto.graph.node))


def cycle(proto: onnx.ModelProto, rng: random.Random) -> None:
    nodes = proto.graph.node
    first = rng.randrange(len(nodes) - 1)
    nodes[first].input[0] = nodes[rng.randrange(first, len(nodes))].output[0]


def dangling_name(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(proto.graph.node)
    node.input[rng.randrange(len(node.input))] = "nowhere"


def wrong_dims(proto: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice(proto.graph.initializer)
    if tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] += rng.choice([1, 7, -100])
    else:
        tensor.dims.append(5)


def absurd_dims(proto: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice(proto.graph.initializer)
    tensor.dims[:] = [2 ** rng.choice([31, 40, 62])] * rng.randint(1, 3)
    if rng.random() < 0.5:
        tensor.ClearField("raw_data")


def wrong_type(proto: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice([t for t in proto.graph.initializer if t.data_type == TensorProto.FLOAT])
    tensor.data_type = rng.choice([TensorProto.INT32, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.UINT8, 99, 0])


def deep_branches(proto: onnx.ModelProto, rng: random.Random) -> None:
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["inner"])], "leaf", [], [])
    graph.output.append(helper.make_tensor_value_info("inner", TensorProto.FLOAT, None))
    for depth in range(rng.choice([3, 20, 60])):
        node = helper.make_node("If", ["condition"], ["inner"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], f"level{depth}", [], list(graph.output))
        if graph.ByteSize() > 1 << 20:
            break
    proto.graph.initializer.append(helper.make_tensor("condition", TensorProto.BOOL, [], [True]))
    proto.graph.node.insert(0, graph.node[0])
    proto.graph.node[1].input[0] = "inner"


# --- damage that may leave a model: refused, or right --------------------------------------------------

_HUGE = (2**31 - 1, 2**31, 2**40, 2**62, -1, -(2**40), 0)


def huge_attribute(proto: onnx.ModelProto, rng: random.Random) -> None:
    attributes = [a for n in proto.graph.node for a in n.attribute if a.ints or a.type == onnx.AttributeProto.INT]
    attribute = rng.choice(attributes)
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(_HUGE)
    else:
        attribute.i = rng.choice(_HUGE)


def input_size(proto: onnx.ModelProto, rng: random.Random) -> None:
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    dims[rng.randrange(len(dims))].dim_value = rng.choice([*_HUGE, 1, 3, 5000])


def other_op(proto: onnx.ModelProto, rng: random.Random) -> None:
    rng.choice(proto.graph.node).op_type = rng.choice(["Relu", "Gemm", "Softmax", "Loop", "Nonsense", "", "Reshape"])


def other_attribute(proto: onnx.ModelProto, rng: random.Random) -> None:
    attribute = rng.choice([a for node in proto.graph.node for a in node.attribute])
    attribute.type = rng.choice(onnx.AttributeProto.AttributeType.values())


def no_name(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(proto.graph.node)
    (node.output if rng.random() < 0.5 else node.input)[0] = ""


def other_opset(proto: onnx.ModelProto, rng: random.Random) -> None:
    proto.opset_import[0].version = rng.choice([0, 1, 5, 12, 19, 23, 28, 999, -3, 2**62])


def fewer_inputs(proto: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(proto.graph.node)
    del node.input[rng.randrange(len(node.input)) :]


BROKEN: tuple[Damage, ...] = (
    delete_node, repeat_node, cycle, dangling_name, wrong_dims, absurd_dims, wrong_type, deep_branches,
)  # fmt: skip
DUBIOUS: tuple[Damage, ...] = (
    huge_attribute, input_size, other_op, other_attribute, no_name, other_opset, fewer_inputs,
)  # fmt: skip
BYTES = ("flip", "cut", "swap")
PLACES = ("parent", "absolute", "link", "negative", "behind", "length", "nothing")


def damaged_bytes(how: str, content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    if how == "cut":
        return bytes(data[: rng.randrange(len(data))])
    for _ in range(rng.randint(1, 6)):
        # Half of the hits fall into the first bytes and the last, where the structure is.
        at = rng.choice([rng.randrange(len(data)), -rng.randint(1, min(3000, len(data)))])
        if how == "flip":
            data[at] ^= 1 << rng.randrange(8)
        else:
            data[at] = data[rng.randrange(len(data))]
    return bytes(data)


def displaced(how: str, folder: Path, rng: random.Random) -> None:
    """Write a model whose weights claim to be where they may not be."""
    path, canary = folder / "model.onnx", folder.parent / "canary.bin"
    onnx.save(small_resnet(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    canary.write_bytes((folder / "weights.bin").read_bytes())
    proto = onnx.load(path, load_external_data=False)
    tensor = rng.choice(proto.graph.initializer)
    entries = {entry.key: entry for entry in tensor.external_data}
    if how == "link":
        (folder / "linked.bin").symlink_to(canary)
    locations = {"parent": "../canary.bin", "absolute": str(canary), "link": "linked.bin", "nothing": "none.bin"}
    if how in locations:
        entries["location"].value = locations[how]
    elif how == "length":
        entries["length"].value = rng.choice(["-1", "3", str(2**40), "many"])
    else:
        entries["offset"].value = {"negative": "-64", "behind": str(2 ** rng.choice([20, 40]))}[how]
    path.write_bytes(proto.SerializeToString())


def write(number: int, folder: Path) -> tuple[str, bool]:
    """Write mutant `number`; return what was done to it, and whether it has to be refused."""
    rng = random.Random(number)
    ways = (*BROKEN, *DUBIOUS, *BYTES * 4, *PLACES)
    way = ways[number % len(ways)]
    base = rng.choice(BASES)
    path = folder / "model.onnx"
    if way in PLACES:
        displaced(str(way), folder, rng)
        return str(way), True
    if way in BYTES:
        path.write_bytes(damaged_bytes(str(way), base().SerializeToString(), rng))
        return str(way), False
    proto = base()
    assert callable(way)
    way(proto, rng)
    path.write_bytes(proto.SerializeToString())
    return way.__name__, way in BROKEN


def outcome(folder: Path) -> tuple[str, str]:
    """Compile what is in a folder and run it beside ONNX Runtime on the file itself."""
    path = folder / "model.onnx"
    before = set(folder.iterdir())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bundle = lrpc.compile(path, seed_input=True).save(folder / "model.lrp")
    except lrpc.LrpcError as error:
        return ("refused", str(error)) if set(folder.iterdir()) == before else ("littered", str(error))
    if set(folder.iterdir()) != {*before, bundle}:
        return "littered", ""
    try:
        x, expected = _original(path)
    except Exception as error:
        return "compiled", f"ONNX Runtime refuses it: {error}"
    explainer = lrpc.Explainer(bundle)
    result = explainer(x, np.zeros(expected.shape, np.float32))
    same = np.allclose(result.output, expected, rtol=1e-3, atol=1e-4, equal_nan=True)
    return ("compiled", "") if same else ("wrong", f"{result.output} is not {expected}")


def _original(path: Path) -> tuple[np.ndarray, np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    shape = [size if isinstance(size, int) and size > 0 else 2 for size in entry.shape]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return x, session.run(None, {entry.name: x})[0]


@contextmanager
def alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def main(first: int, last: int) -> None:
    """Print a line when a mutant begins and one when it ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    opened: list[str] = []
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
    for number in range(first, last):
        print(json.dumps({"begins": number}), flush=True)
        with tempfile.TemporaryDirectory() as outside:
            folder = Path(outside) / "folder"
            folder.mkdir()
            way, broken = write(number, folder)
            opened.clear()
            started = time.perf_counter()
            try:
                with alarm():
                    end, text = outcome(folder)
            except BaseException as error:
                end, text = "crashed", f"{type(error).__name__}: {error}"
            if any("canary" in name or "linked" in name for name in opened):
                end = "read outside its folder"
        gc.collect()
        seconds = round(time.perf_counter() - started, 2)
        told = {"number": number, "way": way, "broken": broken, "end": end, "seconds": seconds, "text": text[:300]}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
