"""The canonization pipeline: one literal tuple of passes, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx.checker

from passes.drop_noops import drop_noops
from passes.errors import Problem
from passes.fold_batchnorm import batchnorms_left, fold_batchnorm
from passes.fold_batchnorm_forward import batchnorms_before, fold_batchnorm_forward
from passes.fold_constants import fold_constants
from passes.fuse_activations import fuse_activations
from passes.graph import Graph
from passes.join_batchnorms import join_batchnorms
from passes.merge_biases import merge_biases
from passes.merge_paddings import merge_paddings
from passes.move_scales import move_scales
from passes.recognise_dense import products_left, recognise_dense
from passes.spell_attributes import paddings_left, spell_attributes
from passes.spell_einsums import spell_einsums
from passes.spell_gathers import spell_gathers
from passes.spell_norms import spell_norms
from passes.spell_pooling import spell_pooling
from passes.spell_scales import spell_scales
from passes.spell_shuffles import spell_shuffles
from passes.spell_slices import spell_slices
from passes.spell_sums import spell_sums
from passes.split_residuals import additions_left, split_residuals
from passes.write import to_proto

Report = Callable[[str], None]


@dataclass(frozen=True)
class Pass:
    """A canonization step.

    run: graph to graph; its argument is untouched, and the same object comes back if and only if
    nothing changed.  declined: which layers it looked at and left alone, each with the reason.
    """

    run: Callable[[Graph], Graph]
    declined: Callable[[Graph], list[Problem]] = lambda graph: []

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
        """What it needs, gives, keeps and declines."""
        return (self.run.__doc__ or "").strip()


PIPELINE: tuple[Pass, ...] = (
    Pass(fold_constants),
    Pass(drop_noops),
    Pass(spell_attributes, paddings_left),
    Pass(merge_paddings),
    Pass(spell_slices),
    Pass(spell_gathers),
    Pass(spell_shuffles),
    Pass(spell_einsums),
    Pass(spell_sums),
    Pass(spell_norms),
    Pass(recognise_dense, products_left),
    Pass(fuse_activations),
    Pass(move_scales),
    Pass(merge_biases),
    Pass(spell_scales),
    Pass(join_batchnorms),
    Pass(fold_batchnorm, batchnorms_left),
    Pass(fold_batchnorm_forward, batchnorms_before),
    Pass(spell_pooling),
    Pass(split_residuals, additions_left),
)

_MOST_ROUNDS = 8
"""One round does nearly all; a second meets what the first made possible: an Add behind a folded BatchNorm."""


def canonize(graph: Graph, *, report: Report | None = None, check: bool = False) -> Graph:
    """Run the pipeline until it changes nothing; a canonized graph comes back as the same object.

    report: called with one line per pass, then one per layer that a pass declined.
    check: validate the whole graph, shapes included, after every pass.
    """
    for turn in range(_MOST_ROUNDS):
        start = graph
        for step in PIPELINE:
            before, graph = graph, step.run(graph)
            if report is not None and (turn == 0 or graph is not before):
                report(_line(step, before, graph))
            if check and graph is not before:
                onnx.checker.check_model(to_proto(graph), full_check=True)
        if graph is start:
            break
    if report is not None:
        for problem in (problem for step in PIPELINE for problem in step.declined(graph)):
            report(f"  declined {problem.layer} ({problem.op}): {problem.reason}")
    return graph


def _line(step: Pass, before: Graph, after: Graph) -> str:
    change = "unchanged" if after is before else f"{len(before.nodes)} -> {len(after.nodes)} nodes"
    return f"{step.name:<22}  {change}"
