"""What the command line's tests share: a folder with a model and a picture to run lrpc in."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

from lrpc.cli import main
from tests.graphs import small_resnet


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run lrpc in an empty folder that holds model.onnx and picture.png."""
    monkeypatch.chdir(tmp_path)
    onnx.save(small_resnet(), "model.onnx")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (10, 14, 3), np.uint8)).save("picture.png")

    def run(*arguments: object, code: int = 0):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return run
