"""What is known of a behaviour on one layer. Each behaviour has one row of these in `lrpc.behaviours.table`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import onnx_graphsurgeon as gs

from lrpc.behaviours.bound import Bound
from lrpc.behaviours.emission import Emission
from lrpc.behaviours.relevance import Relevance
from lrpc.behaviours.support import Support
from lrpc.emit.emitter import Emitter
from lrpc.ops import Op
from lrpc.rules.behaviours import Behaviour
from lrpc.rules.sign import Sign

B = TypeVar("B", bound=Behaviour)


class Meaning(ABC, Generic[B]):
    """Where a behaviour fits, what bounds it, where it sends relevance, its nodes; a layer is an op and its node."""

    @abstractmethod
    def misfit(self, rule: B, op: Op, node: gs.Node) -> str:
        """Return why it cannot be applied to the layer, "" if it can."""

    def settle(self, rule: B, node: gs.Node) -> Behaviour:
        """Return the rule with what the graph tells written into it, for a plan to hold."""
        return rule

    @abstractmethod
    def bound(self, rule: B, op: Op, node: gs.Node, inputs: Sequence[Sign]) -> Bound:
        """Return the most that the layer can amplify, given the signs of its data inputs."""

    @abstractmethod
    def support(self, rule: B, op: Op, node: gs.Node, index: int, arriving: Support) -> Support:
        """Return where it sends relevance at a data input, given where relevance can arrive at the output."""

    @abstractmethod
    def emit(self, emit: Emitter, rule: B, op: Op, node: gs.Node, arriving: Relevance) -> Emission:
        """Emit what it hands to each data input."""
