"""Which composite is taken where none, or one by name, is asked for: the command line and Python choose alike."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

import lrpc
from lrpc.cli import main
from lrpc.composites.choice import Choice
from lrpc.inspect.inputs import validation_input
from lrpc.plan.inputs import input_spec
from passes.errors import LrpcError
from tests.graphs import saved
from tests.two_inputs import NETS

PICTURE = {"lrpc.input": '{"shape": [3, 6, 6], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}',
           "lrpc.classes": '["ant", "bee", "cat"]'}  # fmt: skip
BOX, FLAT = "epsilon_gamma_box", "epsilon_plus_flat"

# Model, options, and the composite: the file tells of a picture of 3 x 6 x 6 in all of them.
CASES = {
    "the picture of two inputs": ("a picture and a table", {"input": "x"}, BOX),
    "the table beside it": ("a picture and a table", {"input": "z"}, FLAT),
    "an inner output of the picture alone": ("a picture and a table", {"output": "f"}, BOX),
    "an inner output of a table alone": ("a sum of two branches", {"output": "lr"}, FLAT),
    "the same, its input named": ("a sum of two branches", {"input": "x", "output": "lr"}, FLAT),
    "either of two pictures": ("two pictures", {"input": "z"}, BOX),
}


@pytest.mark.parametrize(("name", "options", "composite"), CASES.values(), ids=CASES)
def test_the_command_line_and_python_choose_alike(tmp_path, name, options, composite):
    proto = NETS[name].proto(PICTURE)
    onnx.save(proto, tmp_path / "model.onnx")
    compiled = lrpc.compile(proto, **options)
    assert compiled.plan.composite == composite
    given = [part for key, value in options.items() for part in (f"--{key}", value)]
    printed = CliRunner().invoke(main, ["plan", str(tmp_path / "model.onnx"), "--json", *given])
    assert printed.exit_code == 0, printed.output
    assert json.loads(printed.stdout)["layers"] == compiled.plan.to_rows()
    assert json.loads(printed.stdout)["composite"] == composite


@pytest.mark.parametrize(("name", "options", "composite"), CASES.values(), ids=CASES)
def test_a_manifest_has_a_picture_s_mean_and_range_where_the_input_is_that_picture(tmp_path, name, options, composite):
    compiled = lrpc.compile(NETS[name].proto(PICTURE), **options)
    saved(compiled, tmp_path / "b.lrp", seed_input=True)
    told = lrpc.Explainer(tmp_path / "b.lrp").manifest.input
    of_picture = (0.5,) * 3, (0.25,) * 3, (-2.0,) * 3, (2.0,) * 3
    expected = of_picture if composite == BOX else (None, None, None, None)
    assert (told.mean, told.std, told.low, told.high) == expected
    assert input_spec(compiled.plan.graph).shape == told.shape


def test_class_names_are_those_of_the_output_that_has_as_many(tmp_path):
    proto = NETS["a sum of two branches"].proto(PICTURE)
    for output, names in ((None, ("ant", "bee", "cat")), ("lr", None)):
        lrpc.compile(proto, input="x", output=output).save(tmp_path / "b.lrp", force=True)
        assert lrpc.Explainer(tmp_path / "b.lrp").manifest.classes == names


def test_what_a_plan_is_validated_on_has_the_shape_of_its_input():
    plan = lrpc.plan_model(NETS["a sum of two branches"].proto(PICTURE), output="lr")
    assert validation_input(plan)[0].shape == (1, 4)


RANGE = (-2.0, [1.0, 2.0])
BUILT = {
    "no range": (Choice(), None, lrpc.composites.epsilon_plus_flat()),
    "a range": (Choice(), RANGE, lrpc.composites.epsilon_gamma_box(-2.0, [1.0, 2.0])),
    "one end given, one told": (Choice(None, {"low": -9}), RANGE, lrpc.composites.epsilon_gamma_box(-9, [1.0, 2.0])),
    "both given": (Choice(None, {"low": -1, "high": 1}), None, lrpc.composites.epsilon_gamma_box(-1, 1)),
    "a name that takes no range": (Choice("epsilon-plus"), RANGE, lrpc.composites.epsilon_plus()),
    "a parameter": (Choice("bounded", {"stabilizer": 0.5}), None, lrpc.composites.bounded(0.5)),
}


@pytest.mark.parametrize(("choice", "known", "composite"), BUILT.values(), ids=BUILT)
def test_a_choice_is_built_with_what_is_known(choice, known, composite):
    assert choice.composite(known) == composite


REFUSED = {
    "another name": (lambda: Choice("epsilon-minus"), "There is no composite 'epsilon-minus'"),
    "another parameter": (lambda: Choice("bounded", {"gamma": 1}), "bounded takes no --gamma"),
    "the bias": (lambda: Choice("deconvnet", {"zero_params": "bias"}), "deconvnet takes no --zero-bias"),
    "a parameter of the other default": (lambda: Choice(None, {"gamma": 1}).composite(None), "epsilon-plus-flat takes no --gamma"),
    "no range": (lambda: Choice("tutorial").composite(None), "Give --low and --high"),
    "half a range": (lambda: Choice(None, {"high": 1}).composite(None), "Give --low, or choose epsilon-plus-flat"),
    "a range above 0": (lambda: Choice().composite((1.0, 2.0)), "epsilon-gamma-box cannot be built"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_choice_that_cannot_be_built_is_refused(build, reason):
    with pytest.raises(LrpcError) as error:
        build()
    assert reason in str(error.value)


def test_no_command_swallows_every_exception_or_reads_a_model_itself():
    for file in Path(main.callback.__code__.co_filename).parent.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert "onnx" not in names, file
        caught = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
        if file.name != "group.py":
            assert not [h for h in caught if h.type is None or ast.unparse(h.type) == "Exception"], file
