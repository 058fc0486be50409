"""An einsum of one tensor is spelled as a sum over axes and a Transpose."""

from __future__ import annotations

import string

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import Problem
from passes.graph import Graph, kind, shape_of
from passes.graph.edit import Declined, Edit, Step, rewrite


def spell_einsums(graph: Graph, declined: list[Problem] | None = None) -> Graph:
    """Spell an Einsum of one tensor, whose letters are all different, as a sum over the axes that it leaves out.

    Gives: ReduceSum over these axes, and a Transpose `NAME.order` where the others change their
    order; a Transpose NAME where none is left out.
    Declines: several tensors, a letter that stands twice (a diagonal), a tensor of unknown rank.
    """
    return rewrite(graph, _find_sum, Edit.replace, declined)


def _find_sum(edit: Edit, node: gs.Node) -> list[Step] | Declined | None:
    """Return the sum over the axes that an Einsum leaves out, and the order of the others."""
    if kind(node) != "Einsum":
        return None
    if len(node.inputs) != 1:
        return Declined("it multiplies several tensors")
    if not node.inputs[0].shape:
        return Declined("the rank of its input is not known")
    shape = shape_of(node.inputs[0])
    letters = _letters(str(node.attrs["equation"]), len(shape))
    if letters is None:
        return Declined("a letter stands twice in its equation")
    before, after = letters
    kept = [letter for letter in before if letter in after]
    order = [kept.index(letter) for letter in after]
    steps = []
    if len(kept) < len(before):
        axes = np.array([i for i, letter in enumerate(before) if letter not in after], np.int64)
        sizes = [shape[before.index(letter)] for letter in kept]
        total = f"{node.outputs[0].name}/sum"
        steps.append(Step("ReduceSum", node.name, {"keepdims": 0}, {f"{node.name}.axes": axes}, total, sizes))
    if order != sorted(order) or not steps:
        steps.append(Step("Transpose", f"{node.name}.order" if steps else node.name, {"perm": order}))
    return steps


def _letters(equation: str, rank: int) -> tuple[str, str] | None:
    """Return a letter for each axis before and after, None where that is no sum over some axes."""
    before, arrow, after = equation.replace(" ", "").partition("->")
    spare = [letter for letter in string.ascii_letters if letter not in equation]
    middle = "".join(spare[: rank - len(before.replace("...", ""))])
    if not arrow:
        after = "..." * ("..." in before) + "".join(sorted(before.replace("...", "")))
    before, after = before.replace("...", middle), after.replace("...", middle)
    distinct = len(set(before)) == len(before) == rank and len(set(after)) == len(after)
    return (before, after) if distinct and set(after) <= set(before) else None
