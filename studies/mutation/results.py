"""What became of each mutant, in a file."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from studies.mutation.mutations import Mutation
from studies.mutation.places import ROOT
from studies.mutation.trial import Outcome

RESULTS = ROOT / "studies/results/mutants.json"
Record = dict[str, Any]
"""An outcome, and `source`: the line as it was."""


def load_results() -> dict[str, Record]:
    """Return every record by the key of its mutation."""
    if not RESULTS.exists():
        return {}
    found: dict[str, Record] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def store_result(mutation: Mutation, outcome: Outcome) -> None:
    """Keep one outcome."""
    records = {**load_results(), mutation.key: asdict(outcome) | {"source": mutation.source}}
    RESULTS.write_text(json.dumps(dict(sorted(records.items())), indent=1) + "\n", encoding="utf-8")
