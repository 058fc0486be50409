"""Write docs/ops.md anew from the table of operators: `python -m studies.ops`."""

from __future__ import annotations

from pathlib import Path

from lrpc.plan.op_table import markdown

DOCUMENT = Path(__file__).parents[1] / "docs/ops.md"

if __name__ == "__main__":
    DOCUMENT.write_text(markdown(), encoding="utf-8")
