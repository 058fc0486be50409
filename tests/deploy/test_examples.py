"""The clients under examples/, as their READMEs run them, against ONNX Runtime's CPU."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import lrpc
from models.shapes.localisation import MODEL
from tests.deploy.runtimes import NODE_MODULES, installed
from tests.files import read_image

pytestmark = pytest.mark.deploy

EXAMPLES = Path(__file__).parents[2] / "examples"
SAMPLES = MODEL.parent / "samples"
RUNTIMES = {"node": "onnxruntime-node", "openvino": "openvino", "tract": "tract"}


def commands(name):
    """What a README says: how to compile, how to install, how to run."""
    text = (EXAMPLES / name / "README.md").read_text()
    (compiled,) = re.findall(r"^ {4}lrpc compile shapes.onnx (.*)$", text, re.MULTILINE)
    (block,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    install, run = block.strip().splitlines()
    return compiled, install, run


@pytest.fixture(params=RUNTIMES)
def client(request, tmp_path):
    """An example in a folder of its own, with the compiled file and two pictures."""
    installed(RUNTIMES[request.param])
    shutil.copytree(
        EXAMPLES / request.param, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules")
    )
    if request.param == "node":
        (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    target = re.search(r"--target (\w+)", commands(request.param)[0])[1]
    compiled = lrpc.compile(MODEL, target=target)
    compiled.variant(preprocess="any", heatmap=True).save(tmp_path / "shapes.explain.onnx", single_file=True)
    shutil.copy(SAMPLES / "star.png", tmp_path / "picture.png")
    return request.param, tmp_path


def run(name, folder, *more, code=0):
    command = shlex.split(commands(name)[2])
    command[0] = sys.executable if command[0] == "python" else command[0]
    done = subprocess.run([*command, *more], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def check(name, folder, *more):
    printed = run(name, folder, *more)
    image = np.asarray(read_image(folder / "picture.png").convert("RGB"))[None]
    session = ort.InferenceSession(folder / "shapes.explain.onnx", providers=["CPUExecutionProvider"])
    feeds = {"image": image, "target": np.array([int(more[0]) if more else -1])}
    scores, _, health, heatmap = session.run(None, feeds)
    assert f"top class {scores.argmax()}, score {scores.max():.3f}" in printed
    assert f"sum of |R| {health[0, 1]:.3f}" in printed
    assert "not finite 0" in printed
    drawn = np.asarray(read_image(folder / "heatmap.png"))
    assert drawn.shape == (64, 64, 3)
    assert np.abs(drawn.astype(int) - heatmap[0].astype(int)).max() <= 1


def test_a_client_gives_what_onnx_runtime_gives(client):
    check(*client)


def test_a_client_explains_the_class_that_it_is_given(client):
    check(*client, "3")


def test_a_client_takes_pictures_of_any_size(client):
    name, folder = client
    read_image(folder / "picture.png").convert("RGB").resize((97, 150)).save(folder / "picture.png")
    check(name, folder)


def test_a_client_says_how_it_is_used(client):
    name, folder = client
    command = shlex.split(commands(name)[2])[:2]
    command[0] = sys.executable if command[0] == "python" else command[0]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("usage:")


@pytest.mark.parametrize("name", RUNTIMES)
def test_the_command_that_installs_is_what_the_example_imports(name):
    install = commands(name)[1].split()
    if name == "node":
        assert install[:2] == ["npm", "install"]
        assert set(re.findall(r"from '([\w-]+)'", (EXAMPLES / name / "explain.mjs").read_text())) == {
            "onnxruntime-node",
            "pngjs",
        }
    else:
        assert install == ["pip", "install", name, "pillow"]
