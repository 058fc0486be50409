"""Emit ONNX nodes one after the other, each under a name that says where it comes from.

A name is a path: the layer, then the role, then (where there are several) the share and the term:
`layer1.0.conv2/share1/term0/z`. The emitter writes either a graph of its own, whose inputs are the
forward tensors it reads (the separate relevance graph), or behind the nodes of a forward graph.

With a target it emits no value twice, be it one of the forward graph's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.emit.targets import Target
from lrpc.rules.call import Call
from passes.graph import Graph, constant, producer, static_shape

_Key = tuple[str, tuple[str, ...], str]


class Emitter:
    """Collect nodes in execution order; operator forms are those of opset 18."""

    def __init__(
        self,
        forward: gs.Graph | None = None,
        reserved: Collection[str] = (),
        groups: Mapping[Call, str] | None = None,
        target: Target | None = None,
        known: Graph | None = None,
        copies: Collection[str] = (),
    ) -> None:
        """forward: the graph to write behind (it is extended in place); None for a graph of its own.

        reserved: names of the forward graph, which no emitted tensor may take.
        target: what to optimise for; None emits the definitions.
        known: the forward graph whose values need not be computed again, where there is a target.
        copies: ops of the forward graph that hand their input on as it is: where there is a target, that is read.
        groups: by a rule's call, the name of its tunable inputs; None emits its parameters as constants.
        """
        self.nodes: list[gs.Node] = forward.nodes if forward is not None else []
        self.taps: dict[str, gs.Variable] = {}
        self.provenance: dict[str, tuple[str, str]] = {}
        self.tunables: dict[str, gs.Constant] = {}
        """Parameters that the graph takes as inputs, by name; their values are the defaults."""
        self.target = target
        self._groups = groups
        self._copies = frozenset(copies)
        self._common: dict[_Key, gs.Variable] = {}
        self._forward = {
            _key(node.op, node.inputs, node.attrs): node.outputs[0]
            for node in (known.nodes if target is not None and known is not None else ())
        }
        self._here = forward.tensors() if forward is not None else None
        self._made: dict[str, gs.Tensor] = {}
        self._reserved = frozenset(reserved)
        self._claimed: set[str] = set()
        self._scope: tuple[str, ...] = ()
        self._source: tuple[str, Call | None] = ("", None)

    @contextmanager
    def layer(self, name: str, rule: Call | None) -> Iterator[None]:
        """Emit for one layer: everything inside is named after it and remembers its rule."""
        before, self._source = self._source, (name, rule)
        with self.scope(name):
            yield
        self._source = before

    @contextmanager
    def scope(self, *parts: str) -> Iterator[None]:
        """Put names below `parts`; empty parts vanish."""
        before, self._scope = self._scope, (*self._scope, *filter(None, parts))
        yield
        self._scope = before

    def op(self, op: str, inputs: Sequence[gs.Tensor], name: str, **attributes: object) -> gs.Variable:
        """Emit one node with one output, and return the output."""
        if self.target is None:
            return self.ops(op, inputs, (name,), **attributes)[0]
        key = _key(op, inputs, attributes)
        if key in self._forward and isinstance(there := self.read(self._forward[key]), gs.Variable):
            return there
        if key not in self._common:
            self._common[key] = self.ops(op, inputs, (name,), **attributes)[0]
        return self._common[key]

    def ops(
        self, op: str, inputs: Sequence[gs.Tensor], names: Sequence[str], **attributes: object
    ) -> list[gs.Variable]:
        """Emit one node with several outputs; the node takes the first one's name."""
        outputs = [gs.Variable(self._claim(name)) for name in names]
        node = gs.Node(op, outputs[0].name, attrs=dict(attributes), inputs=list(inputs), outputs=outputs)
        self.nodes.append(node)
        if self._source[0]:
            layer, rule = self._source
            self.provenance[node.name] = (layer, "" if rule is None else str(rule))
        return outputs

    def takes(self, step: str, form: str) -> bool:
        """Whether a step is emitted in a form that the target prefers; the definitions know no such form."""
        return self.target is not None and self.target.takes(step, form)

    def constant(self, value: object, name: str, dtype: type = np.float32) -> gs.Constant:
        """Emit a named initializer."""
        return gs.Constant(self._claim(name), np.asarray(value, dtype))

    @property
    def group(self) -> str | None:
        """The name of the tunable inputs of the rule being emitted; None where parameters are constants."""
        rule = self._source[1]
        return None if self._groups is None or rule is None else self._groups.get(rule)

    def parameter(self, value: float, key: str, name: str) -> gs.Constant:
        """Emit a parameter of the current rule: a named initializer, or the rule's tunable input `key`."""
        if self.group is None:
            return self.constant(value, name)
        tunable = f"{self.group}.{key}"
        if tunable not in self.tunables:
            before, self._scope = self._scope, ()
            self.tunables[tunable] = self.constant(value, tunable)
            self._scope = before
        return self.tunables[tunable]

    def read(self, tensor: gs.Tensor) -> gs.Tensor:
        """Return a tensor or weight of the forward graph, as it is called here."""
        if self.target is not None:
            tensor = self._source_of(tensor)
        if self._here is not None:
            return self._here[tensor.name]
        if tensor.name not in self._made:
            self._made[tensor.name] = self._import(tensor)
        return self._made[tensor.name]

    def share(self, name: str, make: Callable[[str], gs.Tensor]) -> gs.Tensor:
        """Return what `make(name)` emitted, emitting it only the first time; its name stands alone."""
        if name not in self._made:
            before, self._scope = self._scope, ()
            self._made[name] = make(name)
            self._scope = before
        return self._made[name]

    def _source_of(self, tensor: gs.Tensor) -> gs.Tensor:
        """Follow a tensor up through nodes that only copy."""
        while (node := producer(tensor)) is not None and node.op in self._copies:
            tensor = node.inputs[0]
        return tensor

    def _import(self, tensor: gs.Tensor) -> gs.Tensor:
        array = constant(tensor)
        if array is not None:
            return gs.Constant(tensor.name, array)
        self.taps[tensor.name] = gs.Variable(tensor.name, tensor.dtype, tensor.shape)
        return self.taps[tensor.name]

    def _claim(self, name: str) -> str:
        path = "/".join((*self._scope, name))
        while path in self._reserved:
            path += "'"
        assert path not in self._claimed, f"two tensors are called {path}"
        self._claimed.add(path)
        return path


def _key(op: str, inputs: Sequence[gs.Tensor], attributes: Mapping[str, object]) -> _Key:
    return op, tuple(tensor.name for tensor in inputs), repr(sorted(attributes.items()))


def like(emit: Emitter, value: gs.Tensor, tensor: gs.Tensor, name: str) -> gs.Variable:
    """Emit `value` reshaped to the shape of a forward tensor; at most one axis of it is dynamic."""
    shape = static_shape(tensor)
    if shape is not None and shape.count(None) <= 1:
        target: gs.Tensor = emit.constant([-1 if d is None else d for d in shape], f"{name}/shape", np.int64)
    else:
        target = emit.op("Shape", [emit.read(tensor)], f"{name}/shape")
    reshaped = emit.op("Reshape", [value, target], name)
    # Inference cannot tell that -1 is the batch. A runtime that does not know which of the tensors below are of one
    # size shares no memory among them, and ONNX Runtime looks through all that are free for each that it places.
    reshaped.dtype, reshaped.shape = tensor.dtype, tensor.shape
    return reshaped


def expand_like(emit: Emitter, value: gs.Tensor, tensor: gs.Tensor, name: str) -> gs.Variable:
    """Emit `value`, whose axes are 1 or a forward tensor's, in that tensor's shape."""
    return emit.op("Expand", [value, emit.op("Shape", [emit.read(tensor)], f"{name}/shape")], name)


def zeros_like(emit: Emitter, tensor: gs.Tensor, name: str) -> gs.Variable:
    """Emit zeros in the shape of a tensor of this graph. ONNX takes no value for 0.0, not every runtime does."""
    zero = gs.Constant("value", np.zeros(1, np.float32))
    return emit.op("ConstantOfShape", [emit.op("Shape", [tensor], f"{name}/shape")], name, value=zero)
