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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lrpc.composites.builtin import COMPOSITES
from lrpc.composites.composite import Composite, Entry
from lrpc.rules.kinds import Kind
from lrpc.rules.text import parse_rule
from passes.errors import LrpcError
from passes.loading.file_errors import file_errors, is_file

_HINT = 'An entry reads: [[rule]] kind = "convolution", layer = "layer1.*", rule = "gamma(0.25)".'


def composite_from_toml(path: str | Path) -> Composite:
    """Read a composite. Raises LrpcError naming the file, the entry and what is wrong with it."""
    path = Path(path)
    if not is_file(path):
        raise LrpcError(f"{path} cannot be read: {'it is no file' if path.exists() else 'there is no such file'}.")
    with file_errors(path):
        content = path.read_bytes()
    try:
        return _composite(tomllib.loads(content.decode()), _encodable(path.stem))
    except RecursionError as error:
        raise LrpcError(f"{path} is not a composite: it is nested too deeply.", hint=_HINT) from error
    except ValueError as error:
        raise LrpcError(f"{path} is not a composite: {error}.", hint=_HINT) from error


def composite_to_toml(composite: Composite) -> str:
    """Write a composite as the text of a file that `composite_from_toml` reads as the same entries.

    Raises LrpcError for a name, a pattern or an op that no text file can hold: half a pair of surrogates.
    """
    blocks = [f"name = {_text(composite.name)}"]
    for entry in composite.entries:
        conditions = {
            "layer": [] if entry.pattern == "*" else [_text(entry.pattern)],
            "kind": [_texts(entry.kinds)] if entry.kinds else [],
            "op": [_texts(entry.ops)] if entry.ops else [],
            "first": ["true"] if entry.first else [],
            "index": [str(list(entry.index))] if entry.index else [],
            "leaf": [str(list(entry.leaf))] if entry.leaf else [],
        }
        lines = [f"{key} = {text}" for key, texts in conditions.items() for text in texts]
        blocks.append("\n".join(["[[rule]]", *lines, f"rule = {_text(str(entry.rule))}"]))
    return "\n\n".join(blocks) + "\n"


def _text(value: str) -> str:
    """Write a basic string: what JSON escapes, TOML reads so too, if characters stand for themselves; and DEL."""
    if value != _encodable(value):
        raise LrpcError(
            f"{value!a} cannot be written: it holds half a pair of surrogates, which no text file can.",
            hint="Rename it.",
        )
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _texts(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_text, values))}]"


def _encodable(text: str) -> str:
    """Return what a text file can hold of a text."""
    return text.encode("utf-8", "replace").decode()


# --- reading ------------------------------------------------------------------------------------------


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(value: object) -> bool:
    return _is_text(value) or (isinstance(value, list) and all(map(_is_text, value)))


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_range(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(end) is int for end in value)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_table, value))


Keys = Mapping[str, tuple[Callable[[object], bool], str]]
"""What tells whether a key's value can be one, and what it is in words."""
_TOP_KEYS: Keys = {
    "name": (_is_text, "a text"),
    "base": (_is_text, "the name of a composite"),
    "parameters": (_is_table, "a table, as in { epsilon = 0.1 }"),
    "rule": (_are_tables, "a list of tables, each under its [[rule]]"),
}
_RULE_KEYS: Keys = {
    "rule": (_is_text, 'a rule in quotes, as in "gamma(0.25)"'),
    "kind": (_is_list, "a kind in quotes, or a list of them"),
    "op": (_is_list, "an op in quotes, or a list of them"),
    "layer": (_is_text, "a pattern in quotes"),
    "first": (_is_flag, "true or false"),
    "index": (_is_range, "[first, last]"),
    "leaf": (_is_range, "[first, last]"),
}


def _composite(table: Mapping[str, Any], stem: str) -> Composite:
    _check(table, _TOP_KEYS, "the file")
    entries = [_entry(item, f"rule {number}") for number, item in enumerate(table.get("rule", []), start=1)]
    if "base" in table:
        entries += _base(table["base"], table.get("parameters", {})).entries
    elif "parameters" in table:
        raise ValueError("it has parameters, and no base that takes them")
    if not entries:
        raise ValueError("it has neither [[rule]] entries nor a base")
    return Composite(table.get("name", stem), tuple(entries))


def _base(name: str, parameters: Mapping[str, Any]) -> Composite:
    """Build a named composite; hyphens may stand for underscores. Raises ValueError."""
    constructor = COMPOSITES.get(name.replace("-", "_"))
    if constructor is None:
        raise ValueError(f"there is no composite {name!r}; there are {', '.join(COMPOSITES)}")
    try:
        return constructor(**parameters)
    except (TypeError, ValueError) as error:
        raise ValueError(f"composite {name}: {error}") from error


def _entry(item: Mapping[str, Any], place: str) -> Entry:
    _check(item, _RULE_KEYS, place)
    if "rule" not in item:
        raise ValueError(f"{place} has no key 'rule'")
    index, leaf = (tuple(item[key]) if key in item else None for key in ("index", "leaf"))
    try:
        return Entry(
            parse_rule(item["rule"]),
            kinds=tuple(map(_kind, _as_list(item.get("kind", [])))),
            ops=tuple(_as_list(item.get("op", []))),
            pattern=item.get("layer", "*"),
            first=item.get("first", False),
            index=index,
            leaf=leaf,
        )
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _kind(name: str) -> Kind:
    try:
        return Kind(name.replace("-", "_"))
    except ValueError:
        raise ValueError(f"there is no kind {name!r}; there are {', '.join(Kind)}") from None


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _check(table: Mapping[str, Any], known: Keys, place: str) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise ValueError(f"{place} has unknown keys {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    for key, value in table.items():
        fits, what = known[key]
        if not fits(value):
            shown = repr(value)
            raise ValueError(f"{place}: {key} is {what}, not {shown if len(shown) < 80 else f'{shown[:80]}...'}")
