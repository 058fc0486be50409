"""The plan: which rule each layer gets, and why."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import onnx_graphsurgeon as gs

from lrpc.behaviours import meaning
from lrpc.composites.composite import Composite, Entry, Place
from lrpc.ops import OPS
from lrpc.rules.behaviours import (
    Behaviour,
)
from lrpc.rules.kinds import LINEAR, Kind
from passes.errors import LrpcError, Problem
from passes.graph import Graph, depending

Overrides = Sequence[tuple[str, Behaviour]]
"""(pattern over layer names, rule) pairs, which win over the composite; the first match wins."""


@dataclass(frozen=True)
class Row:
    """One layer of the plan. why: the condition of the composite, or the override, that matched."""

    layer: str
    op: str
    kind: Kind
    rule: Behaviour
    why: str


@dataclass(frozen=True)
class Plan:
    """A canonized graph and a row for each of its nodes, in execution order."""

    graph: Graph
    composite: str
    rows: tuple[Row, ...]

    @property
    def behaviours(self) -> dict[str, Behaviour]:
        """The rule of each layer by name."""
        return {row.layer: row.rule for row in self.rows}

    @property
    def reached(self) -> set[str]:
        """The layers that relevance reaches on its way to the input: those that depend on it."""
        known = depending(self.graph)
        return {node.name for node in self.graph.nodes if node.outputs[0].name in known}

    @property
    def destination(self) -> str:
        """Where relevance goes and what is left out, in a sentence; "" for a model of one input."""
        first, *others = (tensor.name for tensor in self.graph.inputs)
        if not others:
            return ""
        left = ", ".join(others)
        return f"relevance goes to the input {first}; what flows to {left} is left out of `relevance` and `health`"

    def __str__(self) -> str:
        head = ("#", "layer", "op", "kind", "rule", "why")
        cells = [
            head,
            *((str(i), r.layer, r.op, r.kind, str(r.rule), r.why) for i, r in enumerate(self.rows)),
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
        return "\n".join(line.rstrip() for line in lines)

    def to_json(self) -> str:
        """Return the plan as JSON: {"composite": ..., "layers": [{"layer", "op", "kind", "rule", "why"}]}."""
        return json.dumps({"composite": self.composite, "layers": self.to_rows()}, indent=1)

    def to_rows(self) -> list[dict[str, str]]:
        """Return the rows as plain dictionaries, as they stand in the bundle's manifest."""
        return [
            {"layer": r.layer, "op": r.op, "kind": str(r.kind), "rule": str(r.rule), "why": r.why} for r in self.rows
        ]


def assign(graph: Graph, composite: Composite, overrides: Overrides = (), problems: Iterable[Problem] = ()) -> Plan:
    """Give every layer of a canonized graph its rule.

    problems: what is already known to be wrong with the graph; it is reported with the rest.
    Raises LrpcError with every layer that has no rule, has one that does not fit its op, or cannot
    be propagated through, and with every pattern that matches nothing.
    """
    _check_patterns(graph, overrides)
    mine = tuple(Entry(rule, pattern=pattern, origin=f"--rule {pattern}={rule}") for pattern, rule in overrides)
    entries = (*mine, *composite.entries)
    first, leaves = _first_layers(graph, entries), _leaves(graph)
    found, rows = list(problems), []
    for index, node in enumerate(graph.nodes):
        leaf = leaves.places.get(node.name)
        places = [Place(index, leaf, first.get(number) == node.name) for number in range(len(entries))]
        row = _row(node, list(zip(entries, places, strict=True)), composite, leaves)
        if isinstance(row, Row):
            rows.append(row)
        elif not any(problem.layer == node.name for problem in found):
            found.append(row)
    if found:
        raise LrpcError(_refusal(graph, found), found)
    return Plan(graph, composite.name, tuple(rows))


def _refusal(graph: Graph, found: Sequence[Problem]) -> str:
    """Say how many layers cannot be explained; the model's inputs and outputs, which are told too, are none."""
    bad = {problem.layer for problem in found if problem.op not in ("input", "output")}
    layers = bad | {node.name for node in graph.nodes}
    counted = f"{len(bad)} of {len(layers)} layers of " if bad else ""
    return f"{counted}{graph.name} cannot be explained."


def _row(node: gs.Node, entries: Sequence[tuple[Entry, Place]], composite: Composite, leaves: _Leaves) -> Row | Problem:
    op = OPS.get(node.op)
    if op is None:
        return Problem(node.name, node.op, *_why_unsupported(node))
    if reason := op.problem(node):
        return Problem(node.name, node.op, reason)
    kind = op.kind_of(node)
    for entry, place in entries:
        if entry.matches(node.name, node.op, kind, place):
            sense = meaning(entry.rule)
            reason = sense.misfit(entry.rule, op, node)
            if reason and entry.is_sweeping:
                continue
            if reason:
                return Problem(node.name, node.op, f"{entry.rule} does not fit: {reason}", _RULE_HINT)
            why = f"{entry.why} of {leaves.counted}" if entry.leaf and not entry.origin else entry.why
            return Row(node.name, node.op, kind, sense.settle(entry.rule, node), why)
    return Problem(node.name, node.op, f"{composite.name} says nothing about a {kind}", _RULE_HINT)


_OPS_HINT = "`lrpc plan --help` lists the rules; the ops that have one are in docs/ops.md."
_RULE_HINT = "Give a layer its rule with --rule 'LAYER=RULE', or choose a composite that covers it."


def _why_unsupported(node: gs.Node) -> tuple[str, str]:
    """Return why an op has no rule, and what to do about it."""
    if node.op in ("Softmax", "LogSoftmax") and not node.outputs[0].outputs:
        scores = node.inputs[0].name
        return (
            "not piecewise linear; explain the scores before it",
            f"Explain the scores: --output {shlex.quote(scores)}.",
        )
    return _why_without_rule(node), _OPS_HINT


def _why_without_rule(node: gs.Node) -> str:
    if node.op == "Softmax":
        return "not piecewise linear, and others read its result: attention has no rules"
    if node.op == "MatMul":
        return "multiplies two computed tensors, as attention does: there is no rule for that"
    if node.op in ("Add", "Sub", "Mul", "Div"):
        operands = "a constant" if any(isinstance(t, gs.Constant) for t in node.inputs) else "two tensors"
        return f"combines the input with {operands} in a way that no linear layer could take up"
    return "there is no rule for this op"


def _first_layers(graph: Graph, entries: Sequence[Entry]) -> dict[int, str]:
    """Return, by place among the entries, the layer that a `first` entry means.

    It depends on the input that relevance goes to: the first layer of another one is an inner layer to it.
    """
    known = depending(graph)
    reached = [node for node in graph.nodes if node.outputs[0].name in known]
    order = {node.name: position for position, node in enumerate(graph.nodes)}
    leaves = {name: module.leaf_index for name, module in graph.modules.items() if module.leaf_index is not None}
    first = {}
    for index, entry in enumerate(entries):
        layers = [n.name for n in reached if entry.first and n.op in OPS and OPS[n.op].kind in entry.kinds]
        registered = leaves if all(layer in leaves for layer in layers) else order
        if layers:
            first[index] = min(layers, key=lambda layer: (registered[layer], order[layer]))
    return first


@dataclass(frozen=True)
class _Leaves:
    """places: of layers among the leaves, by name.  counted: what the leaves are, in words."""

    places: dict[str, int]
    counted: str


def _leaves(graph: Graph) -> _Leaves:
    """Count torch's leaf modules where the file tells them, else linear and pooling layers."""
    kinds = (*LINEAR, Kind.AVERAGE_POOL, Kind.MAX_POOL)
    layers = [node.name for node in graph.nodes if node.op in OPS and OPS[node.op].kind in kinds]
    told = {name: module.leaf_index for name, module in graph.modules.items() if module.leaf_index is not None}
    if layers and all(layer in told for layer in layers):
        return _Leaves(told, "torch's leaf modules")
    return _Leaves({layer: place for place, layer in enumerate(layers)}, "the linear and pooling layers")


def _check_patterns(graph: Graph, overrides: Overrides) -> None:
    problems = [
        Problem("-", "-", f"--rule {pattern!r} {reason}", "`lrpc plan` lists the layers.")
        for pattern, rule in overrides
        if (reason := _why_unused(graph, pattern, rule))
    ]
    if problems:
        raise LrpcError(f"{len(problems)} of {len(overrides)} rule patterns cannot be used on {graph.name}.", problems)


def _why_unused(graph: Graph, pattern: str, rule: Behaviour) -> str:
    """Return why a pattern gives its rule to no layer at all, "" if it does."""
    matched = [node for node in graph.nodes if fnmatchcase(node.name, pattern)]
    if not matched:
        return f"matches no layer{_guess(pattern, [node.name for node in graph.nodes])}"
    reasons = [meaning(rule).misfit(rule, OPS[node.op], node) for node in matched if node.op in OPS]
    if reasons and all(reasons) and len(matched) > 1:
        return f"matches {len(matched)} layers, and {rule} fits none of them: {reasons[0]}"
    return ""


def _guess(pattern: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(pattern, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
