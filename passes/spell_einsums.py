"""An einsum of one tensor is spelled as a sum over axes and a Transpose."""

from __future__ import annotations

import string

import numpy as np
import onnx_graphsurgeon as gs

from passes.graph import Graph, claim, edited, kind


def spell_einsums(graph: Graph) -> Graph:
    """Spell an Einsum of one tensor, whose letters are all different, as a sum over the axes that it leaves out.

    Needs inferred shapes.  Gives: ReduceSum over these axes, and a Transpose `NAME.order` where the others change their
    order; a Transpose NAME where none is left out.
    Declines: several tensors, a letter that stands twice (a diagonal), a tensor of unknown rank.
    """
    return edited(graph, _spell)


def _spell(graph: Graph) -> bool:
    taken = graph.names()
    nodes: list[gs.Node] = []
    changed = False
    for node in graph.nodes:
        new = _respelled(node, taken) if kind(node) == "Einsum" else None
        changed |= new is not None
        nodes += [node] if new is None else new
    if changed:
        graph.body.nodes = nodes
    return changed


def _respelled(node: gs.Node, taken: set[str]) -> list[gs.Node] | None:
    x, result = node.inputs[0], node.outputs[0]
    letters = _letters(str(node.attrs["equation"]), len(x.shape)) if len(node.inputs) == 1 and x.shape else None
    if letters is None:
        return None
    before, after = letters
    kept = [letter for letter in before if letter in after]
    order = [kept.index(letter) for letter in after]
    node.inputs.clear()
    node.outputs.clear()
    made: list[gs.Node] = []
    if len(kept) < len(before):
        axes = np.array([i for i, letter in enumerate(before) if letter not in after], np.int64)
        total = gs.Variable(claim(f"{result.name}/sum", taken), x.dtype, [x.shape[before.index(k)] for k in kept])
        operand = gs.Constant(claim(f"{node.name}.axes", taken), axes)
        made.append(gs.Node("ReduceSum", node.name, {"keepdims": 0}, [x, operand], [total]))
    if order != sorted(order) or not made:
        name = claim(f"{node.name}.order", taken) if made else node.name
        made.append(gs.Node("Transpose", name, {"perm": order}, [made[-1].outputs[0] if made else x], []))
    made[-1].outputs.clear()
    made[-1].outputs.append(result)
    return made


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
