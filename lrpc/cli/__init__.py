"""The command line: one module per command, no logic of its own."""

from __future__ import annotations

import click

import lrpc
from lrpc.cli.bench import bench_command
from lrpc.cli.compile import compile_command
from lrpc.cli.conformance import conformance_command
from lrpc.cli.doctor import doctor_command
from lrpc.cli.explain import explain_command
from lrpc.cli.export import export_command
from lrpc.cli.group import LrpcGroup
from lrpc.cli.ops import ops_command
from lrpc.cli.package import package_command
from lrpc.cli.passes import passes_command
from lrpc.cli.plan import plan_command
from lrpc.cli.trace import trace_command
from lrpc.cli.validate import validate_command

__all__ = ["main"]


@click.group(cls=LrpcGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(lrpc.__version__, prog_name="lrpc")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Compile Layer-wise Relevance Propagation (LRP) to standard ONNX graphs.

    \b
    From a PyTorch model to a heatmap:
      lrpc export torchvision:resnet50 -o resnet50.onnx --weights DEFAULT
      lrpc compile resnet50.onnx
      lrpc explain resnet50.lrp dog.jpg

    \b
    Exit codes: 0 all is well, 1 a check failed (validate, conformance, --strict), 2 bad input or usage.
    """


for command in (
    export_command,
    compile_command,
    plan_command,
    explain_command,
    trace_command,
    doctor_command,
    validate_command,
    bench_command,
    conformance_command,
    package_command,
    passes_command,
    ops_command,
):
    main.add_command(command)
