"""What the graphs of a bundle call their own inputs and outputs: a contract with whoever runs them without lrpc."""

from __future__ import annotations

from typing import Literal

SEED: Literal["seed"] = "seed"
TARGET: Literal["target"] = "target"
"""What is explained: a tensor shaped as the output, or the class of each sample."""
RELEVANCE, HEALTH = "relevance", "health"
TRACE = "trace"
"""Six numbers for each layer, in the trace variant."""
IMAGE, HEATMAP = "image", "heatmap"
"""Pictures that a single file takes and returns."""

EXPLAIN, FORWARD, SEPARATE = "explain", "forward", "relevance"
"""The graphs: model and relevance pass in one, and the two apart; each is NAME.onnx in a folder."""

OWN = frozenset((SEED, TARGET, RELEVANCE, HEALTH))
"""Names that no tensor of a model may have."""
