"""What holds for all tests: whatever a pass changed is well formed."""

from __future__ import annotations

import pytest

from passes.errors import LrpcError
from passes.graph import Graph
from passes.graph.edit import Edit
from passes.graph.verify import verify


@pytest.fixture(scope="session", autouse=True)
def _every_pass_gives_a_well_formed_graph():
    result = Edit.result

    def verified(edit: Edit) -> Graph:
        graph = result(edit)
        if graph is not edit.source and (problems := verify(graph)):
            raise LrpcError("A pass gave a graph that is not well formed.", problems)
        return graph

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Edit, "result", verified)
        yield
