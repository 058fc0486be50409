"""What `lrpc ops` and docs/ops.md say of each operator, asked of the operators and the rules themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import onnx_graphsurgeon as gs

from lrpc.behaviours import meaning
from lrpc.emit.targets import TARGETS
from lrpc.ops import OPS, Op
from lrpc.rules.behaviours import Behaviour, Rule
from lrpc.rules.constructors import RULES

COLUMNS = ("op", "kind", "rules", "dimensions", "targets", "tested by")

_BOUNDS: dict[str, dict[str, float]] = {"z_box": {"low": -1.0, "high": 1.0}}
"""What the rules that have no defaults are tried with."""
_GROUPS = {"relu_": "the ReLU rules"}
"""Names that begin alike, told as one."""

_HEAD = """# Operators

<!-- Written by `python -m studies.ops` from lrpc/plan/op_table.py, as `lrpc ops` prints it: edit neither by hand. -->

What lrpc propagates relevance through, after canonization. `Add`, `MatMul`, `Einsum`, `Constant` and their like
become these; see `lrpc passes --details`. Dimensions are the spatial ones; targets are those of `lrpc compile
--target`. Every op is tested against the float64 oracle; zennit also takes part where it knows the layer.

"""


@dataclass(frozen=True)
class OpRow:
    """An operator of the table. rules: the names of what it takes, the linear rules as one where it takes them all."""

    op: str
    kind: str
    rules: tuple[str, ...]
    dimensions: str
    targets: tuple[str, ...]
    tested_by: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Return the row as JSON has it."""
        return asdict(self)

    def cells(self, quote: str = "") -> tuple[str, ...]:
        """Return the row as text; names of rules stand between `quote`."""
        rules = (f"{quote}{rule}{quote}" if rule in RULES else rule for rule in self.rules)
        return (self.op, self.kind, ", ".join(rules), self.dimensions, *map(", ".join, (self.targets, self.tested_by)))


def op_rows() -> list[OpRow]:
    """Return a row for each operator that relevance runs through, in the order of `lrpc.ops.OPS`."""
    return [
        OpRow(
            op.name,
            str(op.kind),
            tuple(_group(_takes(op))),
            "1, 2, 3" if op.spatial else "any",
            tuple(TARGETS),
            ("oracle", "zennit") if op.zennit else ("oracle",),
        )
        for op in OPS.values()
    ]


def markdown() -> str:
    """Return docs/ops.md."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(row.cells("`") for row in op_rows())]
    return _HEAD + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _takes(op: Op) -> dict[str, Behaviour]:
    node = _probe(op)
    return {name: rule for name in RULES if not meaning(rule := _make(name)).misfit(rule, op, node)}


def _make(name: str) -> Behaviour:
    return RULES[name](**_BOUNDS.get(name, {}))


def _probe(op: Op) -> gs.Node:
    """Return a node of this op behind a branch and a shortcut, so that rules for residual sums have a body."""
    x, body, y = (gs.Variable(name, np.float32, ["n", 3, 8, 8]) for name in ("x", "body", "y"))
    gs.Node("Conv", "body", {}, [x], [body])
    return gs.Node(op.name, "probe", {}, [x, body], [y])


def _group(rules: dict[str, Behaviour]) -> Iterable[str]:
    """Name rules that come together once: every linear rule, the ReLU rules."""
    linear = [name for name in RULES if isinstance(_make(name), Rule)]
    names = dict.fromkeys("every linear rule" if set(linear) <= set(rules) and n in linear else n for n in rules)
    for prefix, group in _GROUPS.items():
        names = dict.fromkeys(group if name.startswith(prefix) else name for name in names)
    return names
