"""Compile every architecture and hold it against the references: `python -m studies.architectures [NAME...]`.

Writes studies/results/architectures.json after each network, and docs/architectures.md of all that is there. Networks
that the file has already are left out; name them to run them again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.progress import Progress

from lrpc.inspect.bench.machine import describe
from lrpc.inspect.bench.process import in_own_process
from passes.errors import LrpcError
from studies.architectures_measured import measured
from studies.architectures_page import DOCUMENT, RESULTS, page, stored, summary
from studies.nets import NETS


def main() -> None:
    """Run what is asked for, or what has not been run; end with 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NETS)}")
    names = parser.parse_args().names or [name for name in NETS if name not in stored()["nets"]]
    failed = []
    with Progress() as progress:
        task = progress.add_task("", total=len(names))
        for name in names:
            progress.update(task, description=name)
            try:
                found = in_own_process(measured, name)
            except LrpcError as error:
                failed.append(name)
                progress.print(f"{name} failed: {error}")
            else:
                _store(name, found)
                progress.print(f"{name}: {summary(found)}")
            progress.advance(task)
    DOCUMENT.write_text(page(), encoding="utf-8")
    sys.exit(1 if failed else 0)


def _store(name: str, found: Mapping[str, Any]) -> None:
    nets = {**stored()["nets"], name: found}
    content = {"machine": describe("cpu"), "nets": {key: nets[key] for key in NETS if key in nets}}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
