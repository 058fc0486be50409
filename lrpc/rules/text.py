"""Rules as text: 'gamma(0.25)', 'z_box(low=[-2, -2, -1.8], high=2.6)', 'pass'."""

from __future__ import annotations

import ast
import difflib
import inspect

from lrpc.rules.behaviours import Behaviour
from lrpc.rules.constructors import RULES


def parse_rule(text: str) -> Behaviour:
    """Read a rule as it prints, NAME or NAME(ARGUMENT, KEY=VALUE); hyphens may stand for underscores in its name.

    Arguments are numbers, lists of numbers, strings or True/False, by position or by keyword.
    Raises ValueError with the rules, or the parameters, that there are.
    """
    name, arguments, keywords = call(text)
    constructor = RULES.get(name)
    if constructor is None:
        close = difflib.get_close_matches(name, RULES, n=1)
        guess = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no rule {_beginning(name)}{guess} Rules: {', '.join(RULES)}")
    try:
        inspect.signature(constructor).bind(*arguments, **keywords)
    except TypeError as error:
        raise ValueError(f"{_beginning(text)}: {error}; the rule is {signature(name)}") from error
    return constructor(*arguments, **keywords)


def signature(name: str) -> str:
    """Return how a rule is written, with its defaults: 'gamma(gamma=0.25, stabilizer=1e-06)'."""
    parameters = inspect.signature(RULES[name]).parameters.values()
    shown = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    return f"{name}({', '.join(shown)})" if shown else name


def call(text: str) -> tuple[str, list[object], dict[str, object]]:
    """Split a rule's text into its name, its positional arguments and its keywords. Raises ValueError."""
    name, parenthesis, rest = text.strip().partition("(")
    name = name.strip().replace("-", "_")
    if not parenthesis:
        return name, [], {}
    source = f"rule({rest}"
    try:
        found = ast.parse(source, mode="eval").body
        if not isinstance(found, ast.Call) or not isinstance(found.func, ast.Name):
            raise SyntaxError
        names = [keyword.arg for keyword in found.keywords]
        if ast.get_source_segment(source, found) != source or None in names or len(set(names)) < len(names):
            raise SyntaxError
        arguments = [ast.literal_eval(argument) for argument in found.args]
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in found.keywords}
    # Python's parser stumbles over what is nested too deeply in two further ways.
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"cannot read the rule {_beginning(text)}; write it like gamma(0.25) or z_box(low=-2, high=[2.1, 2.6]): "
            "a name, and numbers, lists of numbers, quoted words, True or False"
        ) from error
    return name, arguments, keywords


def _beginning(text: str, longest: int = 80) -> str:
    return repr(text if len(text) <= longest else f"{text[:longest]}...")
