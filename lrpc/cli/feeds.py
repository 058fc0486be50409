"""What --feed gives to the inputs that relevance does not go to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from lrpc.bundle.side_inputs import Arrays, Other, checked_others, drawn
from lrpc.images.array_file import read_array

_HINT = "Write it with numpy.save: numbers of the input's shape, a row for each picture."


def load_feeds(texts: Sequence[str], wanted: Sequence[Other], count: int) -> Arrays:
    """Load NAME=FILE.npy for each of the other inputs. Raises LrpcError where one is missing, unknown or does not fit.

    count: of samples. A file of one sample without a batch axis is for all of them.
    """
    return checked_others(_load(texts, wanted, count), wanted, count)


def load_or_draw_feeds(texts: Sequence[str], wanted: Sequence[Other], count: int) -> Arrays:
    """Load as `load_feeds` does; inputs that are not given get the values of `drawn`, with a note on stderr."""
    loaded = _load(texts, wanted, count)
    if missing := [str(other) for other in wanted if other.name not in loaded]:
        click.echo(f"{', '.join(missing)}: random values (seed 0); give others with --feed NAME=FILE.npy", err=True)
    return checked_others({**drawn(tuple(wanted), count), **loaded}, wanted, count)


def _load(texts: Sequence[str], wanted: Sequence[Other], count: int) -> Arrays:
    ranks = {other.name: len(other.shape) for other in wanted if other.batched}
    loaded: Arrays = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or not name or not file:
            raise click.BadParameter(f"{text!r} is not NAME=FILE.npy, as in age=ages.npy.", param_hint="--feed")
        if name in loaded:
            raise click.BadParameter(f"{name} is given twice.", param_hint="--feed")
        array = read_array(Path(file), _HINT)
        alone = array.ndim == ranks.get(name, 0) - 1
        loaded[name] = np.repeat(array[None], count, axis=0) if alone else array
    return loaded
