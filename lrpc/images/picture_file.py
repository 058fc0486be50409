"""Pictures from files: whatever is in one, it is a picture, or an LrpcError that names it."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, ImageOps

from passes.errors import LrpcError
from passes.loading.file_errors import file_errors, is_file, short_path

MOST_PIXELS = 1 << 27
"""About 134 million; decoded, such a picture takes 0.5 GB."""
_STRIP = 1 << 22
_OTHER_PROGRAMS = {"EPS"}
"""Formats that Pillow hands to another program, which would run what is in the file."""


def read_picture(path: Path, mode: str) -> Image.Image:
    """Return the picture in a file, the right way up, transparency laid on white.

    mode: "L" or "RGB".  Raises LrpcError where the file cannot be read, is no picture, is damaged, or has more than
    `MOST_PIXELS`: that is told from its header, before any of it is decoded.
    """
    if not is_file(path):
        raise LrpcError(f"{path} does not exist." if not path.exists() else f"{path} is no file.")
    Image.init()
    formats = [name for name in Image.OPEN if name not in _OTHER_PROGRAMS]
    with file_errors(path), path.open("rb") as stream:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _decode(Image.open(stream, formats=formats), mode, path)
        except Image.DecompressionBombError as error:
            raise _too_large(path) from error
        except (LrpcError, MemoryError):
            raise
        # A decoder raises whatever a damaged file makes it stumble over: a list of types would never be complete.
        except Exception as error:
            reason = f"{short_path(path)} is not a picture that can be read, or it is truncated."
            raise LrpcError(reason) from error


def _decode(picture: Image.Image, mode: str, path: Path) -> Image.Image:
    if picture.width * picture.height > MOST_PIXELS:
        raise _too_large(path)
    picture.load()
    upright = ImageOps.exif_transpose(picture)
    if not upright.has_transparency_data:
        return upright.convert(mode)
    flat = Image.new(mode, upright.size)
    # By strips: each of the steps would hold another copy of a large picture.
    step = max(1, _STRIP // upright.width)
    for top in range(0, upright.height, step):
        strip = upright.crop((0, top, upright.width, min(top + step, upright.height))).convert("RGBA")
        flat.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert(mode), (0, top))
    return flat


def _too_large(path: Path) -> LrpcError:
    millions = MOST_PIXELS // 10**6
    return LrpcError(
        f"{short_path(path)} has more than {millions} million pixels, the most that lrpc reads.",
        hint="Scale it down first.",
    )
