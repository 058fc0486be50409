"""Damage to bytes, whatever they mean."""

from __future__ import annotations

import random
from collections.abc import Callable

Bytes = Callable[[bytes, random.Random], bytes]
_HEAD = 400


def _places(data: bytes, rng: random.Random) -> list[int]:
    """Choose up to eight places, half of them near the beginning or the end, where formats keep their structure."""
    size = len(data)
    near = [rng.randrange(min(_HEAD, size)), size - 1 - rng.randrange(min(_HEAD, size))]
    return [rng.choice([*near, rng.randrange(size), rng.randrange(size)]) for _ in range(rng.randint(1, 8))]


def flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for at in _places(data, rng):
        changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for at in _places(data, rng):
        changed[at] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    return bytes(changed)


def delete(data: bytes, rng: random.Random) -> bytes:
    at = rng.choice(_places(data, rng))
    return data[:at] + data[at + rng.randint(1, 40) :]


def insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.choice(_places(data, rng))
    return data[:at] + rng.randbytes(rng.randint(1, 40)) + data[at:]


def duplicate(data: bytes, rng: random.Random) -> bytes:
    at = rng.choice(_places(data, rng))
    part = data[at : at + rng.randint(1, 400)]
    return data[:at] + part * rng.randint(2, 5) + data[at + len(part) :]


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


BYTEWISE: tuple[Bytes, ...] = (flip, overwrite, delete, insert, duplicate, truncate)
