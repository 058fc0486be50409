"""Pictures, arrays, state dicts, and the places where they are read and written."""

from __future__ import annotations

import atexit
import io
import pickle
import random
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

import lrpc
from tests.fuzz.bytewise import BYTEWISE
from tests.fuzz.case import Case
from tests.graphs import small_resnet
from tests.two_inputs import NETS

Way = Callable[[random.Random, Path], list[str]]
"""Writes what is bad into a folder, and returns the command that meets it; BUNDLE stands for a compiled bundle."""

_FORMATS = (
    "PNG",
    "JPEG",
    "GIF",
    "WEBP",
    "TIFF",
    "BMP",
    "PPM",
    "AVIF",
    "JPEG2000",
    "ICO",
    "TGA",
    "PCX",
    "QOI",
    "SGI",
    "DDS",
    "EPS",
)
BUNDLE, TWO = "BUNDLE", "TWO"
_LOCK = Lock()


@cache
def _bundles() -> dict[str, str]:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-bundle-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    lrpc.compile(NETS["a picture and a table"].proto(), input="x").save(folder / "two.lrp")
    return {BUNDLE: str(lrpc.compile(small_resnet()).save(folder / "one.lrp")), TWO: str(folder / "two.lrp")}


def _good(side: int = 24) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8))


@cache
def _encoded(format: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    _good().convert(mode).save(file, format)
    return file.getvalue()


def damaged_picture(rng: random.Random, folder: Path) -> list[str]:
    format = rng.choice(_FORMATS)
    name = f"picture.{rng.choice([format.lower(), 'png', 'jpg'])}"
    (folder / name).write_bytes(rng.choice(BYTEWISE)(_encoded(format), rng))
    return ["explain", BUNDLE, name]


def truncated_picture(rng: random.Random, folder: Path) -> list[str]:
    data = _encoded(rng.choice(_FORMATS))
    (folder / "picture.png").write_bytes(data[: rng.choice([0, 1, 8, 20, len(data) // 2, len(data) - 5])])
    return ["explain", BUNDLE, "picture.png"]


def odd_mode(rng: random.Random, folder: Path) -> list[str]:
    mode = rng.choice(["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F", "LAB", "HSV"])
    picture = _good().convert("L").convert(mode) if mode in ("I;16", "I", "F") else _good().convert("RGB")
    if mode not in ("I;16", "I", "F"):
        picture = Image.new(mode, (9, 9)) if mode in ("LA", "LAB", "HSV") else picture.convert(mode)
    try:
        picture.save(folder / "picture.tiff")
    except OSError:
        picture.convert("RGB").save(folder / "picture.tiff")
    return ["explain", BUNDLE, "picture.tiff"]


def _png(width: int, height: int, rows: bytes, colour: int = 2, depth: int = 8) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width & 0xFFFFFFFF, height & 0xFFFFFFFF, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def huge_picture(rng: random.Random, folder: Path) -> list[str]:
    """Headers that promise more pixels than a machine holds, or as many as decode to gigabytes."""
    width, height = rng.choice(
        [(10**5, 10**5), (2**31 - 1, 1), (1, 2**31 - 1), (30_000, 30_000), (13_000, 13_000), (0, 9), (9, 0)]
    )
    name, data = rng.choice([
        ("a.png", _png(width, height, bytes(1000))),
        ("a.ppm", b"P6 %d %d 255\n" % (width, height) + bytes(1000)),
        ("a.pgm", b"P5 %d %d 65535\n" % (width, height) + bytes(1000)),
        ("a.gif", b"GIF89a" + struct.pack("<HHBBB", width & 0xFFFF, height & 0xFFFF, 0x80, 0, 0) + _encoded("GIF")[13:]),
        ("a.bmp", _encoded("BMP")[:18] + struct.pack("<ii", min(width, 2**31 - 1), min(height, 2**31 - 1)) + _encoded("BMP")[26:]),
        ("a.qoi", b"qoif" + struct.pack(">II", width, height) + _encoded("QOI")[12:]),
        ("a.tga", _encoded("TGA")[:12] + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + _encoded("TGA")[16:]),
    ])  # fmt: skip
    (folder / name).write_bytes(data)
    return ["explain", BUNDLE, name]


def bomb(rng: random.Random, folder: Path) -> list[str]:
    """Pictures that decode as their headers say, and are large or thin."""
    width, height = rng.choice([(12_000, 12_000), (60_000, 1), (1, 60_000), (9_000, 9_000), (1, 1), (2, 1)])
    colour = rng.choice([0, 2])
    rows = bytes((width * (3 if colour else 1) + 1) * height)
    (folder / "bomb.png").write_bytes(_png(width, height, rows, colour))
    return ["explain", BUNDLE, "bomb.png", "--fit", rng.choice(["crop", "stretch", "exact"])]


def bad_exif(rng: random.Random, folder: Path) -> list[str]:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = rng.choice([1, 6, 9, 0, 70])
    _good().save(file, rng.choice(["JPEG", "PNG", "WEBP", "TIFF"]), exif=exif)
    data = bytearray(file.getvalue())
    for _ in range(rng.randint(0, 6)):
        data[rng.randrange(min(160, len(data)))] = rng.randrange(256)
    (folder / "exif.jpg").write_bytes(bytes(data))
    return ["explain", BUNDLE, "exif.jpg"]


def bad_text_chunk(rng: random.Random, folder: Path) -> list[str]:
    """A PNG whose text or colour profile decompresses to far more than it takes."""
    data = _encoded("PNG")
    name = rng.choice([b"zTXt", b"iCCP", b"iTXt"])
    body = (
        b"key\x00"
        + (b"\x01\x00\x00\x00" if name == b"iTXt" else b"\x00")
        + zlib.compress(bytes(200 << 20 if rng.random() < 0.3 else 100))
    )
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    (folder / "text.png").write_bytes(data[:33] + chunk + data[33:])
    return ["explain", BUNDLE, "text.png"]


def _npy(header: str, body: bytes = bytes(768), version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin1") + b"\n"
    length = struct.pack("<H", len(text)) if version[:1] == b"\x01" else struct.pack("<I", len(text))
    return b"\x93NUMPY" + version + length + text + body


def array(rng: random.Random, folder: Path) -> list[str]:
    shape = rng.choice(["(3, 8, 8)", "(1, 3, 8, 8)", "(0, 3, 8, 8)", "(100000000000, 3, 8, 8)", "(10**12,)", "(1000000, 3, 8, 8)",
                        "(-1, 3, 8, 8)", "(4611686018427387904, 4)", "()", "[3, 8, 8]", "(3.0, 8, 8)", "None", "(" * 300 + ")" * 300])  # fmt: skip
    dtype = rng.choice(["'<f4'", "'<f8'", "'|O'", "'<U9'", "'|S4'", "'<c8'", "'|b1'", "'<M8[s]'", "[('a', '<f4')]", "'|V8'", "'?'", "3",
                        "'<f4,<f4'", "'<i8'", "'<f2'", "'|u1'", "'<U1000000000'", "'|V0'", "nonsense"])  # fmt: skip
    order = rng.choice(["False", "True", "None", "'yes'"])
    header = rng.choice([f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}"] * 8 + [
        "", "{}", "nonsense(", "{'descr': '<f4'}", "{'a': " * 90, "x" * 60_000, "\x00", "__import__('os').getcwd()",
    ])  # fmt: skip
    version = rng.choice([b"\x01\x00"] * 6 + [b"\x02\x00", b"\x03\x00", b"\x09\x00", b"\x00\x00"])
    (folder / "a.npy").write_bytes(_npy(header, bytes(rng.choice([0, 768, 5000])), version))
    return _given(rng, folder, "a.npy")


def damaged_array(rng: random.Random, folder: Path) -> list[str]:
    file = io.BytesIO()
    np.save(file, np.zeros((3, 8, 8), np.float32))
    (folder / "a.npy").write_bytes(rng.choice(BYTEWISE)(file.getvalue(), rng))
    return _given(rng, folder, "a.npy")


def odd_array(rng: random.Random, folder: Path) -> list[str]:
    """Arrays that numpy writes, and what is none under the name of one."""
    path, how = folder / "a.npy", rng.randrange(8)
    if how == 0:
        np.savez(folder / "a.npz", a=np.zeros((3, 8, 8), np.float32))
        (folder / "a.npz").rename(path)
    elif how == 1:
        np.save(path, np.array([{"a": 1}, None], object), allow_pickle=True)
    elif how == 2:
        path.write_bytes(pickle.dumps(Canary()))
    elif how == 3:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(rng.choice(["a.npy", "../a.npy", "b.txt"]), bytes(rng.choice([100, 300 << 20])))
    elif how == 4:
        path.write_bytes(_encoded("PNG"))
    else:
        value = rng.choice([np.nan, np.inf, -np.inf, 1e30, 1e-44, 1e39])
        values = np.full(rng.choice([(3, 8, 8), (2, 3, 8, 8), (8, 8), (0, 3, 8, 8)]), value)
        np.save(path, values.astype(rng.choice([np.float32, np.float64, np.complex64, np.float16])))
    return _given(rng, folder, "a.npy")


def _given(rng: random.Random, folder: Path, name: str) -> list[str]:
    if rng.random() < 0.7:
        return ["explain", BUNDLE, name]
    np.save(folder / "good.npy", np.zeros((1, 3, 6, 6), np.float32))
    return ["explain", TWO, "good.npy", "--feed", f"z={name}"]


class Canary:
    """Code that would run if a pickle were trusted."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return open, ("canary-was-run", "w")  # type: ignore[return-value]


def place(rng: random.Random, folder: Path) -> list[str]:
    """Names and places that no file can have, be read at or be written to."""
    _good().save(folder / "good.png")
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere/at/all.png")
    bad = rng.choice(["none/a.png", "good.png/a.png", "folder.png", "loop.png", "dangling.png", "x" * 300 + ".png", "a/" * 3000 + "a.png",
                      "nul\x00byte.png", "bad\udcff.png", "", ".", "/", "/dev/full", "/proc/self/mem", "/proc/none.png", "a.nonsense", "a",
                      "\n.png", "-.png", "/dev/null", "/sys/kernel/a.png"])  # fmt: skip
    command = ["explain", BUNDLE, "good.png"]
    how = rng.randrange(7)
    if how == 0:
        return ["explain", BUNDLE, bad]
    if how == 1:
        return [*command, "--npz", bad]
    if how == 2:
        return ["trace", BUNDLE, "good.png", rng.choice(["--plot", "--graph", "--npz"]), bad]
    if how == 3:
        return ["explain", bad or BUNDLE, "good.png"]
    if how == 4:
        return [rng.choice(["plan", "compile"]), bad]
    if how == 5:
        (folder / "m.onnx").write_bytes(small_resnet().SerializeToString())
        return ["compile", "m.onnx", "-o", bad]
    return [*command, "-o", bad]


def picture_name(rng: random.Random, folder: Path) -> list[str]:
    """Good pictures under odd names; the heatmap's name is made of the picture's."""
    name = rng.choice(
        [
            "a" * 251 + ".png",
            "a" * 240 + ".png",
            "\n.png",
            "é.png",
            "bad\udcff.png",
            ".png",
            "a b.png",
            "{}.png",
            "%s.png",
            "..png",
        ]
    )
    _good().save(folder / "t.png")
    (folder / "t.png").rename(folder / name)
    return ["explain", BUNDLE, name, *rng.choice([[], ["--json"]])]


def state_dict(rng: random.Random, folder: Path) -> list[str]:
    """What --weights is given: archives that are cut, pickles that run code, what is no state dict."""
    import torch

    path = folder / "w.pt"
    good = torch.nn.Linear(4, 3).state_dict()
    how = rng.randrange(7)
    if how < 3:
        torch.save(good, path)
        ways = [way for way in BYTEWISE if way.__name__ in ("truncate", "delete", "insert")]
        path.write_bytes(rng.choice(ways)(path.read_bytes(), rng))
    elif how == 3:
        path.write_bytes(rng.choice([b"", b"text", pickle.dumps(Canary()), pickle.dumps({"a": 1}), _encoded("PNG")]))
    elif how == 4:
        torch.save(rng.choice([[1, 2], 3, "text", None, {"weight": 3}, {1: 2}, {}, torch.zeros(3)]), path)
    elif how == 5:
        torch.save({"weight": torch.zeros(rng.choice([(3, 4), (4, 3), (3, 4, 1)])), "extra" * 9: torch.zeros(1)}, path)
    else:
        torch.save(Canary(), path)
    return ["export", "tests.fuzz.pictures:linear", "-o", "m.onnx", "--weights", rng.choice(["w.pt"] * 9 + ["loop", ".", "x" * 300]),
            "--input-shape", "4"]  # fmt: skip


def linear() -> object:
    """A factory for `lrpc export`."""
    import torch

    return torch.nn.Linear(4, 3)


WAYS: tuple[Way, ...] = (
    damaged_picture, damaged_picture, damaged_picture, truncated_picture, odd_mode, huge_picture, bomb, bad_exif, bad_text_chunk,
    array, array, damaged_array, odd_array, place, place, picture_name, state_dict,
)  # fmt: skip


def write(rng: random.Random, number: int, folder: Path) -> Case:
    """Write case `number`; every way has its turn."""
    with _LOCK:
        bundles = _bundles()
    way = WAYS[number % len(WAYS)]
    return Case(way.__name__, [[bundles.get(argument, argument) for argument in way(rng, folder)]])
