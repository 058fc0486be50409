"""Tables of what one token is mistaken for."""

from __future__ import annotations

import ast

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}

BINARY: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "+"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
}

CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}

ATTRIBUTES = {
    "positive": "negative",
    "negative": "positive",
    "begin": "end",
    "end": "begin",
    "ceil": "floor",
    "floor": "ceil",
    "max": "min",
    "min": "max",
    "any": "all",
    "all": "any",
    "inputs": "outputs",
}

ENUMS: dict[str, dict[str, tuple[str, ...]]] = {
    "Side": {"POSITIVE": ("NEGATIVE",), "NEGATIVE": ("POSITIVE",), "EITHER": ("POSITIVE",)},
    "Support": {"ANYWHERE": ("NONZERO",), "NONZERO": ("POSITIVE", "ANYWHERE"), "POSITIVE": ("NONZERO",)},
    "Test": {
        "ALWAYS": ("NONZERO",),
        "POSITIVE": ("NON_NEGATIVE",),
        "NON_NEGATIVE": ("POSITIVE",),
        "NEGATIVE": ("POSITIVE",),
        "NONZERO": ("ALWAYS",),
    },
}

NAMES: dict[str, tuple[str, ...]] = {
    "KEEP": ("POS",),
    "POS": ("NEG", "KEEP"),
    "NEG": ("POS",),
    "ABS": ("KEEP",),
    "ZERO": ("KEEP",),
    "Keep": ("Zero",),
    "Pos": ("Neg",),
    "Neg": ("Pos",),
    "Abs": ("Keep",),
    "Zero": ("Keep",),
    "Square": ("Keep",),
    "ANY": ("NON_NEGATIVE",),
    "NON_NEGATIVE": ("NON_POSITIVE", "ANY"),
    "NON_POSITIVE": ("NON_NEGATIVE",),
    "ZEROS": ("NON_NEGATIVE",),
}

OP_NAMES = {
    "Add": "Sub",
    "Sub": "Add",
    "Mul": "Div",
    "Div": "Mul",
    "Greater": "GreaterOrEqual",
    "GreaterOrEqual": "Greater",
    "Less": "LessOrEqual",
    "LessOrEqual": "Less",
    "Equal": "Less",
    "Max": "Min",
    "Min": "Max",
    "ReduceMax": "ReduceMin",
    "ReduceMin": "ReduceMax",
    "ReduceMean": "ReduceSum",
    "ReduceSum": "ReduceMean",
    "Relu": "Abs",
    "Abs": "Relu",
    "Floor": "Ceil",
    "ArgMax": "ArgMin",
    "Sigmoid": "Tanh",
    "Tanh": "Sigmoid",
    "Conv": "ConvTranspose",
    "ConvTranspose": "Conv",
    "Concat": "Sum",
    "Identity": "Neg",
    "Dropout": "Identity",
    "MaxPool": "AveragePool",
    "AveragePool": "MaxPool",
}
