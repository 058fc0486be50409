"""What the system, a decoder or a header says of a file: the sentence that each ends in."""

from __future__ import annotations

import errno
import io
import os

import numpy as np
import pytest

from passes.errors import LrpcError
from passes.loading.file_errors import file_errors
from passes.numbers import short, short_list
from tests.fuzz.pictures import _npy, _png

REASONS = {
    errno.EACCES: "this user has no permission",
    errno.ENOSPC: "no space is left on the disk",
    errno.ENAMETOOLONG: "its name is too long",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.ELOOP: "its links lead round in a circle",
}


@pytest.mark.parametrize(("number", "reason"), REASONS.items(), ids=lambda value: str(value)[:12])
def test_the_system_is_told_in_plain_words(number, reason):
    with pytest.raises(LrpcError) as caught, file_errors("a.png", "written"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == f"a.png cannot be written: {reason}."


def test_a_value_error_of_another_cause_is_left_alone():
    with pytest.raises(ValueError, match="else"), file_errors("a.png"):
        raise ValueError("something else")


def archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    return file.getvalue()


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000, 3, 8, 8), }"
OBJECTS = "{'descr': '|O', 'fortran_order': False, 'shape': (3, 8, 8), }"
CONTENT = {
    "a bomb": ("a.png", _png(10**5, 10**5, b""), "a.png has more than 134 million pixels, the most that lrpc reads."),
    "half a picture": ("a.png", _png(20, 20, b"")[:50], "a.png is not a picture that can be read"),
    "PostScript": (
        "a.eps",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "a.eps is not a picture that can be read",
    ),
    "a header that promises": ("a.npy", _npy(HUGE), "a.npy is not an .npy array of numbers, or it is truncated."),
    "pickled objects": ("a.npy", _npy(OBJECTS), "a.npy is not an .npy array of numbers"),
    "an archive": ("a.npy", archive(), "a.npy holds several arrays (.npz); give one (.npy)."),
}


@pytest.mark.parametrize(("name", "content", "sentence"), CONTENT.values(), ids=CONTENT)
def test_what_is_no_picture_or_array_is_one_sentence(run, tmp_path, name, content, sentence):
    run("compile", "model.onnx")
    (tmp_path / name).write_bytes(content)
    assert f"Error: {sentence}" in run("explain", "model.lrp", name, code=2).output


@pytest.mark.parametrize("option", ["-o", "--npz"])
def test_a_missing_folder_is_told(run, option):
    run("compile", "model.onnx")
    output = run("explain", "model.lrp", "picture.png", option, "none/a.png", code=2).output
    assert "cannot be written: there is no such file or folder." in output


def test_numbers_are_short():
    assert [short(n) for n in (224, 2**62, -(2**40), 9_999_999, 99_999_999)] == [
        "224",
        "4.6e18",
        "-1.1e12",
        "9999999",
        "1.0e8",
    ]
    assert short_list(range(70)) == "[0, 1, 2, 3, 4, 5, 6, 7, ... 70 in all]"
