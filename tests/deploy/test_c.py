"""The client in C: built as its README says, against ONNX Runtime in Python, with bad input, and under valgrind."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

import lrpc
from models.shapes.localisation import MODEL
from tests.files import read_image
from tests.graphs import saved, small_resnet

pytestmark = pytest.mark.deploy

C = Path(__file__).parents[2] / "examples/c"
SUPPRESSIONS = Path(__file__).with_name("ort.supp")
STAR = read_image(MODEL.parent / "samples/star.png").convert("RGB")
STRICT = "-O1 -g -Wall -Wextra -Wpedantic -Werror"


def tool(name):
    """A program that the tests need; without it they fail and say how to get it."""
    if shutil.which(name) is None:
        pytest.fail(f"{name} is missing. Install it: apt-get install -y gcc make valgrind", pytrace=False)
    return name


def make(folder, *settings, python=sys.executable, code=0):
    tool("cc")
    command = [tool("make"), "-C", str(C), f"BUILD={folder}", f"PYTHON={python}", f"CFLAGS={STRICT}", *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (code == 0), done.stderr
    return done


@pytest.fixture(scope="module")
def explain(tmp_path_factory):
    """Build the program; give what runs it in a folder."""
    build = tmp_path_factory.mktemp("build")
    make(build)

    def run(folder, *arguments, code=0, before=()):
        command = [*before, str(build / "explain"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The trained network as single files, small ones of other kinds, and pictures."""
    folder = tmp_path_factory.mktemp("c")
    pictures = {"single_file": True, "heatmap": True, "preprocess": "size"}
    files = {
        "size": (MODEL, pictures),
        "any": (MODEL, pictures | {"preprocess": "any"}),
        "floats": (MODEL, {"single_file": True}),
        "no-heatmap": (MODEL, pictures | {"heatmap": False}),
        "seed": (MODEL, pictures | {"seed_input": True}),
        "four": (small_resnet(4), pictures),
        "one": (small_resnet(1), pictures),
        "grey": (small_resnet(), pictures),
    }
    for name, (source, options) in files.items():
        saved(lrpc.compile(source), folder / f"{name}.onnx", **options)
    _break(onnx.load(folder / "size.onnx"), folder / "broken.onnx")
    (folder / "cut.onnx").write_bytes((folder / "size.onnx").read_bytes()[:9999])
    STAR.save(folder / "star.ppm")
    STAR.resize((90, 50)).save(folder / "wide.ppm")
    STAR.resize((8, 8)).save(folder / "tiny.ppm")
    STAR.convert("L").save(folder / "grey.pgm")
    pixels = (folder / "star.ppm").read_bytes()
    (folder / "cut.ppm").write_bytes(pixels[:-1])
    (folder / "empty.ppm").write_bytes(b"")
    (folder / "deep.ppm").write_bytes(pixels.replace(b"255", b"65535", 1))
    (folder / "huge.ppm").write_bytes(pixels.replace(b"64 64", b"9999999999999 64", 1))
    (folder / "negative.ppm").write_bytes(pixels.replace(b"64 64", b"-64 64", 1))
    body = STAR.tobytes()
    (folder / "comments.ppm").write_bytes(b"P6 # made by hand\n#64 32\n64\t# width\n64\r\n255\n" + body + b"P6 more")
    return folder


def _break(proto, path):
    """Write a model one of whose weights is infinite."""
    weight = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = numpy_helper.to_array(weight).copy()
    values.flat[0] = np.inf
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(proto, path)


def by_python(path, picture, target):
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [session.get_outputs()[0].name, "health", "heatmap"]
    return session.run(names, {"image": np.asarray(picture)[None], "target": np.array([target])})


CASES = {
    "the top class": ("size", "star.ppm", None),
    "a class": ("size", "star.ppm", 7),
    "the first": ("size", "star.ppm", 0),
    "the last": ("size", "star.ppm", 9),
    "any size": ("any", "wide.ppm", None),
    "comments": ("size", "comments.ppm", None),
    "a fixed batch": ("one", "tiny.ppm", 2),
    "an output of another name": ("grey", "tiny.ppm", None),
}


@pytest.mark.parametrize(("model", "picture", "target"), CASES.values(), ids=CASES)
def test_the_heatmap_is_that_of_onnx_runtime_in_python(explain, folder, tmp_path, model, picture, target):
    heatmap = tmp_path / "h.ppm"
    chosen = [] if target is None else [str(target)]
    done = explain(folder, f"{model}.onnx", picture, str(heatmap), *chosen)
    expected = by_python(folder / f"{model}.onnx", read_image(folder / picture), -1 if target is None else target)
    (scores,), (health,), (pixels,) = expected
    np.testing.assert_array_equal(np.asarray(read_image(heatmap)), pixels)
    explained = int(scores.argmax()) if target is None else target
    share = 100 * np.exp(scores[explained] - np.float64(scores.max())) / np.exp(scores - np.float64(scores.max())).sum()
    assert done.stdout.splitlines() == [
        f"class {explained}: softmax {share:.1f}%, score {scores[explained]:.3f}",
        f"relevance: sum {health[0]:.3g}, sum of |R| {health[1]:.3g}, max - min {health[2]:.3g}, non-finite {health[3]:.0f}",
    ]
    assert done.stderr == ""


REMEDY = "Make it with `lrpc compile MODEL.onnx --single-file --preprocess --heatmap`."
WRONG = {
    "no arguments": ((), 2, "Usage: "),
    "too many": (("size.onnx", "star.ppm", "h.ppm", "1", "2"), 2, "[CLASS]"),
    "no model": (("nope.onnx", "star.ppm", "h.ppm"), 2, "nope.onnx failed. File doesn't exist"),
    "model is a folder": ((".", "star.ppm", "h.ppm"), 2, REMEDY),
    "model is a picture": (("star.ppm", "star.ppm", "h.ppm"), 2, REMEDY),
    "model is cut": (("cut.onnx", "star.ppm", "h.ppm"), 2, REMEDY),
    "model of floats": (("floats.onnx", "star.ppm", "h.ppm"), 2, "floats.onnx explains no pictures: no input `image`"),
    "model without heatmap": (("no-heatmap.onnx", "star.ppm", "h.ppm"), 2, "no output `heatmap`"),
    "model with a seed": (("seed.onnx", "star.ppm", "h.ppm"), 2, "no input `target`"),
    "model of four": (("four.onnx", "tiny.ppm", "h.ppm"), 2, "takes several pictures at a time. Leave its batch free."),
    "no picture": (("size.onnx", "nope.ppm", "h.ppm"), 2, "nope.ppm cannot be read: No such file or directory."),
    "picture is a model": (("size.onnx", "size.onnx", "h.ppm"), 2, "no binary PPM of 8 bits. Convert it: `convert"),
    "picture is empty": (("size.onnx", "empty.ppm", "h.ppm"), 2, "no binary PPM of 8 bits"),
    "picture is a PGM": (("size.onnx", "grey.pgm", "h.ppm"), 2, "no binary PPM of 8 bits"),
    "picture of 16 bits": (("size.onnx", "deep.ppm", "h.ppm"), 2, "no binary PPM of 8 bits"),
    "picture too large": (("size.onnx", "huge.ppm", "h.ppm"), 2, "no binary PPM of 8 bits"),
    "picture of negative size": (("size.onnx", "negative.ppm", "h.ppm"), 2, "no binary PPM of 8 bits"),
    "picture is cut": (("size.onnx", "cut.ppm", "h.ppm"), 2, "cut.ppm ends after 12287 of 12288 bytes of pixels."),
    "picture of another size": (
        ("size.onnx", "wide.ppm", "h.ppm"),
        2,
        "wide.ppm is 90 x 50. Scale it: `convert wide.ppm -resize '64x64!' NEW.ppm`.",
    ),
    "class out of range": (("size.onnx", "star.ppm", "h.ppm", "10"), 2, "10 is no class. Give one from 0 to 9"),
    "class negative": (("size.onnx", "star.ppm", "h.ppm", "-1"), 2, "-1 is no class"),
    "class by name": (("size.onnx", "star.ppm", "h.ppm", "star"), 2, "star is no class"),
    "class with more": (("size.onnx", "star.ppm", "h.ppm", "3x"), 2, "3x is no class"),
    "class huge": (("size.onnx", "star.ppm", "h.ppm", "99999999999999999999"), 2, "is no class"),
    "class empty": (("size.onnx", "star.ppm", "h.ppm", ""), 2, "is no class"),
    "not finite": (("broken.onnx", "star.ppm", "h.ppm"), 1, "the relevance is not finite. Compile with"),
    "no place": (("size.onnx", "star.ppm", "nowhere/h.ppm"), 2, "nowhere/h.ppm cannot be written"),
    "no room": (("size.onnx", "star.ppm", "/dev/full"), 2, "/dev/full is incomplete. Make room"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_in_one_line(explain, folder, arguments, code, message):
    done = explain(folder, *arguments, code=code)
    assert message in done.stderr
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert not (folder / "h.ppm").exists()


GUARDED = ("model of floats", "model is cut", "picture is cut", "class out of range", "not finite", "no place")


@pytest.mark.parametrize("case", ["good", "any size", *GUARDED])
def test_valgrind_finds_all_memory_freed_and_no_error(explain, folder, tmp_path, case):
    good = {"good": ("size.onnx", "star.ppm"), "any size": ("any.onnx", "wide.ppm")}
    arguments, code, _ = WRONG[case] if case in WRONG else ((*good[case], str(tmp_path / "h.ppm")), 0, "")
    log = tmp_path / "valgrind.txt"
    guard = [tool("valgrind"), "--leak-check=full", f"--suppressions={SUPPRESSIONS}", f"--log-file={log}"]
    explain(folder, *arguments, code=code, before=guard)
    report = log.read_text()
    assert "in use at exit: 0 bytes in 0 blocks" in report, report
    assert "ERROR SUMMARY: 0 errors" in report, report


def test_valgrind_would_find_a_leak(folder, tmp_path):
    """Without its release, the program loses what it holds: the check above can fail."""
    tool("valgrind")
    source = (C / "explain.c").read_text(encoding="utf-8")
    assert "    api->ReleaseTypeInfo(info);\n" in source
    (tmp_path / "explain.c").write_text(source.replace("    api->ReleaseTypeInfo(info);\n", ""))
    shutil.copytree(C / "onnxruntime", tmp_path / "onnxruntime")
    shutil.copy(C / "Makefile", tmp_path)
    command = ["make", "-C", str(tmp_path), f"PYTHON={sys.executable}"]
    subprocess.run(command, check=True, capture_output=True)
    guard = ["valgrind", "--leak-check=full", f"--suppressions={SUPPRESSIONS}", str(tmp_path / "build/explain")]
    arguments = [*guard, "size.onnx", "star.ppm", str(tmp_path / "h.ppm")]
    report = subprocess.run(arguments, capture_output=True, text=True, cwd=folder, check=True).stderr
    assert "definitely lost: 0 bytes" not in report


def test_without_onnx_runtime_make_says_what_to_install(tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    python.chmod(0o755)
    done = make(tmp_path / "build", python=python, code=2)
    assert f"No libonnxruntime found. Run '{python} -m pip install onnxruntime', or set ORT_LIB." in done.stderr


def test_another_library_can_be_given(explain, folder, tmp_path):
    (found,) = Path(ort.__file__).parent.glob("capi/libonnxruntime.so.*")
    make(tmp_path / "build", f"ORT_LIB={found}", python="no-such-python")
    assert os.readlink(tmp_path / "build/libonnxruntime.so.1") == str(found)


def test_the_header_is_no_newer_than_the_library():
    header = (C / "onnxruntime/onnxruntime_c_api.h").read_text(encoding="utf-8")
    (version,) = re.findall(r"#define ORT_API_VERSION (\d+)", header)
    assert int(version) <= int(ort.__version__.split(".")[1])


def test_the_program_is_short_and_the_readme_shows_what_it_prints(explain, folder, tmp_path):
    assert len((C / "explain.c").read_text(encoding="utf-8").splitlines()) < 200
    done = explain(folder, "size.onnx", "star.ppm", str(tmp_path / "h.ppm"))
    assert f"```\n{done.stdout}```" in (C / "README.md").read_text(encoding="utf-8")
