"""A server of KServe's v2 protocol with Triton's extensions, for clients to run against: ONNX Runtime behind http.server.

It opens a Triton model repository by the rules of Triton's ONNX Runtime backend, as its source has them, and refuses what that
refuses: tensors that the configuration and the model do not share, other types or dims, batches that the graph does not have.
"""

from __future__ import annotations

import importlib.util
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnxruntime as ort
from google.protobuf import json_format, text_format
from tritonclient.utils import serialize_byte_tensor, triton_to_np_dtype

ORT_TYPES = {"FP32": "tensor(float)", "INT64": "tensor(int64)", "UINT8": "tensor(uint8)"}


def _model_config():
    """Triton's message ModelConfig; its module is loaded by path, as its package wants gRPC."""
    (folder,) = importlib.util.find_spec("tritonclient").submodule_search_locations
    spec = importlib.util.spec_from_file_location("model_config_pb2", Path(folder) / "grpc/model_config_pb2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MESSAGES = _model_config()


class Refused(Exception):
    """What Triton would answer with an error."""


class Model:
    """One model of a repository, opened as Triton opens it."""

    def __init__(self, folder):
        self.folder = folder
        self.config = text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), MESSAGES.ModelConfig())
        path = folder / "1/model.onnx"
        self.session = ort.InferenceSession(
            path / "model.onnx" if path.is_dir() else path, providers=["CPUExecutionProvider"]
        )
        if self.config.name != folder.name:
            raise Refused(f"{self.config.name} is in the folder of {folder.name}")
        self._check(self.config.input, self.session.get_inputs(), "input")
        self._check(self.config.output, self.session.get_outputs(), "output")

    def infer(self, arrays, requested):
        """Run on arrays by name, as clients shape them; return (name, array) as clients get them."""
        if set(arrays) != {tensor.name for tensor in self.config.input}:
            raise Refused(f"expected {len(self.config.input)} inputs but got {sorted(arrays)}")
        feeds = {tensor.name: self._inward(tensor, arrays[tensor.name]) for tensor in self.config.input}
        by_name = {tensor.name: tensor for tensor in self.config.output}
        results = self.session.run(list(requested), feeds)
        for (name, parameters), result in zip(requested.items(), results, strict=True):
            top = parameters.get("classification", 0)
            yield name, self._classified(by_name[name], result, top) if top else result

    def _check(self, told, found, side):
        by_name = {tensor.name: tensor for tensor in found}
        if len(told) != len(found) and side == "input":
            raise Refused(f"configuration expects {len(told)} inputs, model provides {len(found)}")
        for tensor in told:
            type_ = MESSAGES.DataType.Name(tensor.data_type).removeprefix("TYPE_")
            if tensor.name not in by_name or ORT_TYPES[type_] != by_name[tensor.name].type:
                raise Refused(f"{side} {tensor.name} of {type_} is not the model's")
            dims = [size if isinstance(size, int) else -1 for size in by_name[tensor.name].shape]
            inner = list(tensor.reshape.shape) if tensor.HasField("reshape") else list(tensor.dims)
            if dims != [-1] * bool(self.config.max_batch_size) + inner or not tensor.dims:
                raise Refused(f"{side} {tensor.name} has dims {dims}, the configuration {inner}")

    def _inward(self, tensor, array):
        batched = bool(self.config.max_batch_size)
        wanted = [-1] * batched + list(tensor.dims)
        fits = len(wanted) == array.ndim and all(w in (-1, s) for w, s in zip(wanted, array.shape, strict=True))
        if not fits or array.dtype != triton_to_np_dtype(MESSAGES.DataType.Name(tensor.data_type)[5:]):
            raise Refused(f"unexpected shape for input '{tensor.name}': expected {wanted}, got {list(array.shape)}")
        if batched and len(array) > self.config.max_batch_size:
            raise Refused(f"batch-size must be <= {self.config.max_batch_size}")
        return array.reshape([*array.shape[:batched], *tensor.reshape.shape]) if tensor.HasField("reshape") else array

    def _classified(self, tensor, scores, count):
        labels = (self.folder / tensor.label_filename).read_text().splitlines() if tensor.label_filename else None
        rows = [
            [f"{row[i]:f}:{i}{f':{labels[i]}' if labels else ''}".encode() for i in np.argsort(-row)[:count]]
            for row in scores
        ]
        return np.array(rows, dtype=object)


class Handler(BaseHTTPRequestHandler):
    """The two endpoints that a client of pictures needs."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Answer v2/models/NAME/config."""
        self._answer(lambda: (json.dumps(_numbers(json_format.MessageToDict(
            self._model("config").config, preserving_proto_field_name=True, always_print_fields_with_no_presence=True,
        ))).encode(), b""))  # fmt: skip

    def do_POST(self):
        """Answer v2/models/NAME/infer, tensors in JSON or binary."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        length = int(self.headers.get("Inference-Header-Content-Length", len(body)))
        self._answer(lambda: self._infer(json.loads(body[:length]), body[length:]))

    def log_message(self, *_):
        """Keep quiet."""

    def _model(self, endpoint):
        for name, model in self.server.models.items():
            if self.path == f"/v2/models/{name}/{endpoint}":
                return model
        raise Refused(f"Request for unknown model: {self.path}")

    def _infer(self, request, binary):
        arrays, at = {}, 0
        for tensor in request["inputs"]:
            size = tensor.get("parameters", {}).get("binary_data_size", 0)
            dtype = triton_to_np_dtype(tensor["datatype"])
            data = np.frombuffer(binary[at : at + size], dtype) if size else np.array(tensor["data"], dtype)
            arrays[tensor["name"]], at = data.reshape(tensor["shape"]), at + size
        requested = {tensor["name"]: tensor.get("parameters", {}) for tensor in request["outputs"]}
        outputs, payload = [], b""
        for name, array in self._model("infer").infer(arrays, requested):
            told = {"name": name, "shape": list(array.shape), "datatype": _datatype(array)}
            if requested[name].get("binary_data"):
                data = serialize_byte_tensor(array).item() if array.dtype == object else array.tobytes()
                told["parameters"], payload = {"binary_data_size": len(data)}, payload + data
            else:
                told["data"] = array.reshape(-1).tolist()
            outputs.append(told)
        return json.dumps({"outputs": outputs}).encode(), payload

    def _answer(self, work):
        try:
            code, (head, payload) = 200, work()
        except Exception as error:
            code, head, payload = 400, json.dumps({"error": str(error)}).encode(), b""
        self.send_response(code)
        self.send_header("Content-Length", str(len(head) + len(payload)))
        if payload:
            self.send_header("Inference-Header-Content-Length", str(len(head)))
        self.end_headers()
        self.wfile.write(head + payload)


@contextmanager
def serving(repository):
    """Serve every model of a repository on a free port of this machine; give HOST:PORT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.models = {folder.name: Model(folder) for folder in repository.iterdir()}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _datatype(array):
    return {"f": "FP32", "i": "INT64", "u": "UINT8", "O": "BYTES"}[array.dtype.kind]


def _numbers(value):
    """Write 64-bit integers as numbers, as Triton does; protobuf's JSON has them as strings."""
    if isinstance(value, dict):
        return {
            key: [int(size) for size in inner] if key in ("dims", "shape") else _numbers(inner)
            for key, inner in value.items()
        }
    return [_numbers(inner) for inner in value] if isinstance(value, list) else value
