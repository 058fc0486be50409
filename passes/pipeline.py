"""The canonization pipeline: one literal tuple of passes, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import onnx.checker

from passes.drop_noops import drop_noops
from passes.errors import LrpcError, Problem
from passes.fold_batchnorm import fold_batchnorm
from passes.fold_batchnorm_forward import fold_batchnorm_forward
from passes.fold_constants import fold_constants
from passes.fuse_activations import fuse_activations
from passes.graph import Graph
from passes.graph.verify import verify
from passes.graph.write import to_proto
from passes.join_batchnorms import join_batchnorms
from passes.merge_biases import merge_biases
from passes.merge_paddings import merge_paddings
from passes.move_scales import move_scales
from passes.recognise_dense import recognise_dense
from passes.spell_attributes import spell_attributes
from passes.spell_einsums import spell_einsums
from passes.spell_gathers import spell_gathers
from passes.spell_norms import spell_norms
from passes.spell_pooling import spell_pooling
from passes.spell_scales import spell_scales
from passes.spell_shuffles import spell_shuffles
from passes.spell_slices import spell_slices
from passes.spell_sums import spell_sums
from passes.split_residuals import split_residuals

Report = Callable[[str], None]


class Run(Protocol):
    """A pass as a function."""

    __name__: str

    def __call__(self, graph: Graph, declined: list[Problem] | None = None) -> Graph:
        """Return the changed graph, and add to `declined`."""


@dataclass(frozen=True)
class Pass:
    """A canonization step.

    run: graph to graph; its argument is untouched, and the same object comes back if and only if nothing changed. It
    adds the nodes that it is there for and leaves alone, each with the reason, to the list that it is given.
    needs: the passes whose spelling it reads, which come before it. All need the shapes that `load` infers.
    """

    run: Run
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The function's name."""
        return self.run.__name__

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return self.details.splitlines()[0]

    @property
    def details(self) -> str:
        """What it gives, keeps, declines and needs."""
        text = (self.run.__doc__ or "").strip()
        return f"{text}\n    Needs: {', '.join(self.needs)}." if self.needs else text

    def declines(self, graph: Graph) -> list[Problem]:
        """Return the nodes of a canonized graph that it is there for and leaves alone, each with the reason."""
        problems: list[Problem] = []
        self.run(graph, problems)
        return problems


PIPELINE: tuple[Pass, ...] = (
    Pass(fold_constants),
    Pass(drop_noops, needs=("fold_constants",)),
    Pass(spell_attributes, needs=("fold_constants",)),
    Pass(merge_paddings, needs=("fold_constants", "spell_attributes")),
    Pass(spell_slices, needs=("fold_constants",)),
    Pass(spell_gathers, needs=("fold_constants", "spell_slices")),
    Pass(spell_shuffles),
    Pass(spell_einsums),
    Pass(spell_sums, needs=("spell_attributes", "spell_einsums")),
    Pass(spell_norms, needs=("fold_constants",)),
    Pass(recognise_dense, needs=("fold_constants", "spell_attributes")),
    Pass(fuse_activations, needs=("fold_constants",)),
    Pass(move_scales, needs=("spell_attributes", "fuse_activations")),
    Pass(merge_biases, needs=("spell_attributes", "recognise_dense", "fuse_activations")),
    Pass(spell_scales, needs=("spell_attributes", "fuse_activations", "move_scales", "merge_biases")),
    Pass(join_batchnorms, needs=("spell_scales",)),
    Pass(fold_batchnorm, needs=("spell_attributes", "recognise_dense", "spell_scales")),
    Pass(fold_batchnorm_forward, needs=("spell_attributes", "recognise_dense", "join_batchnorms", "fold_batchnorm")),
    Pass(spell_pooling, needs=("fold_constants", "spell_attributes")),
    Pass(split_residuals, needs=("spell_sums", "merge_biases", "spell_scales")),
)

_MOST_ROUNDS = 8
"""One round does nearly all; a second meets what the first made possible: an Add behind a folded BatchNorm."""


def canonize(graph: Graph, *, report: Report | None = None, check: bool = False) -> Graph:
    """Run the pipeline until it changes nothing; a canonized graph comes back as the same object.

    report: called with one line per pass, then one per layer that a pass declined.
    check: verify the graph, and validate it with its shapes, after every pass; raises LrpcError.
    """
    for turn in range(_MOST_ROUNDS):
        start, declined = graph, list[Problem]()
        for step in PIPELINE:
            before, graph = graph, step.run(graph, declined)
            if report is not None and (turn == 0 or graph is not before):
                report(_line(step, before, graph))
            if check and graph is not before:
                _check(step, graph)
        if graph is start:
            break
    if report is not None:
        for problem in declined:
            report(f"  declined {problem.layer} ({problem.op}): {problem.reason}")
    return graph


def _check(step: Pass, graph: Graph) -> None:
    if problems := verify(graph):
        raise LrpcError(f"The pass {step.name} left a graph that is not well formed.", problems)
    onnx.checker.check_model(to_proto(graph), full_check=True)


def _line(step: Pass, before: Graph, after: Graph) -> str:
    change = "unchanged" if after is before else f"{len(before.nodes)} -> {len(after.nodes)} nodes"
    return f"{step.name:<22}  {change}"
