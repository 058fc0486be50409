"""Composites from TOML files.

name = "my-composite"
base = "epsilon-plus"            # optional: its entries come after these
parameters = { epsilon = 0.1 }   # optional: the base's parameters

[[rule]]
first = true                     # the first layer of this kind
kind = "convolution"             # or a list of kinds
rule = "z_box(low=-2.1, high=2.6)"

[[rule]]
layer = "layer4.*"               # a case-sensitive glob over layer names
index = [0, 40]                  # first and last place in the plan, inclusive
leaf = [17, 30]                  # likewise among torch's leaf modules
rule = "gamma(0.1)"
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrpc.composites.builtin import COMPOSITES
from lrpc.composites.composite import Composite, Entry
from lrpc.rules.kinds import Kind
from lrpc.rules.text import parse_rule
from passes.errors import LrpcError

_TOP_KEYS = {"name", "base", "parameters", "rule"}
_RULE_KEYS = {"rule", "kind", "op", "layer", "first", "index", "leaf"}


def composite_from_toml(path: str | Path) -> Composite:
    """Read a composite. Raises LrpcError naming the file, the entry and what is wrong with it."""
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return _composite(table, path.stem)
    except OSError as error:
        raise LrpcError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError) as error:
        raise LrpcError(f"{path} is not a composite: {error}", hint=_HINT) from error


def composite_to_toml(composite: Composite) -> str:
    """Write a composite as the text of a file that `composite_from_toml` reads as the same entries."""
    blocks = [f"name = {json.dumps(composite.name)}"]
    for entry in composite.entries:
        conditions: dict[str, Any] = {
            "layer": entry.pattern if entry.pattern != "*" else None,
            "kind": [str(kind) for kind in entry.kinds],
            "op": list(entry.ops),
            "first": entry.first or None,
            "index": list(entry.index) if entry.index else None,
            "leaf": list(entry.leaf) if entry.leaf else None,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in conditions.items() if value]
        blocks.append("\n".join(["[[rule]]", *lines, f"rule = {json.dumps(str(entry.rule))}"]))
    return "\n\n".join(blocks) + "\n"


_HINT = 'An entry reads: [[rule]] kind = "convolution", layer = "layer1.*", rule = "gamma(0.25)".'


def _composite(table: Mapping[str, Any], stem: str) -> Composite:
    _check_keys(table, _TOP_KEYS, "the file")
    entries = [_entry(item, f"rule {number}") for number, item in enumerate(table.get("rule", []), start=1)]
    if "base" in table:
        entries += base_composite(table["base"], table.get("parameters", {})).entries
    if not entries:
        raise ValueError("it has neither [[rule]] entries nor a base")
    return Composite(table.get("name", stem), tuple(entries))


def base_composite(name: str, parameters: Mapping[str, Any]) -> Composite:
    """Build a named composite; hyphens may stand for underscores. Raises ValueError."""
    constructor = COMPOSITES.get(name.replace("-", "_"))
    if constructor is None:
        raise ValueError(f"there is no composite {name!r}; there are {', '.join(COMPOSITES)}")
    try:
        return constructor(**parameters)
    except TypeError as error:
        raise ValueError(f"composite {name}: {error}") from error


def _entry(item: Mapping[str, Any], place: str) -> Entry:
    _check_keys(item, _RULE_KEYS, place)
    if "rule" not in item:
        raise ValueError(f"{place} has no key 'rule'")
    kinds = tuple(_kind(name, place) for name in _listed(item.get("kind", [])))
    if item.get("first") and not kinds:
        raise ValueError(f"{place}: first = true needs a kind")
    return Entry(
        parse_rule(item["rule"]),
        kinds=kinds,
        ops=tuple(_listed(item.get("op", []))),
        pattern=item.get("layer", "*"),
        first=bool(item.get("first", False)),
        index=_limits(item, "index", place),
        leaf=_limits(item, "leaf", place),
    )


def _limits(item: Mapping[str, Any], key: str, place: str) -> tuple[int, int] | None:
    limits = item.get(key)
    if limits is None:
        return None
    if not isinstance(limits, list) or len(limits) != 2 or not all(isinstance(limit, int) for limit in limits):
        raise ValueError(f"{place}: {key} is [first, last], not {limits!r}")
    return limits[0], limits[1]


def _kind(name: str, place: str) -> Kind:
    try:
        return Kind(name.replace("-", "_"))
    except ValueError:
        raise ValueError(f"{place}: there is no kind {name!r}; there are {', '.join(Kind)}") from None


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _check_keys(table: Mapping[str, Any], known: set[str], place: str) -> None:
    if unknown := sorted(set(table) - known):
        raise ValueError(f"{place} has unknown keys {', '.join(unknown)}; known: {', '.join(sorted(known))}")
