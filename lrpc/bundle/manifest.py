"""The manifest: what a bundle says of itself, as values that are read by name, and the one reader of its JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from lrpc.bundle.side_inputs import Other
from passes.errors import LrpcError

FORMAT = 1
Size = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
"""Of an axis; None stands for one that is not fixed."""
Numbers = tuple[float, ...]
Product = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
"""The names of tensors that are multiplied."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of the graphs. shape: of one sample, without the batch."""

    name: str
    shape: tuple[Size | None, ...]


@dataclass(frozen=True)
class Input(Tensor):
    """The input that relevance goes to. mean, std, low, high: one per channel, None where the model did not tell."""

    mean: Numbers | None = None
    std: Numbers | None = None
    low: Numbers | None = None
    high: Numbers | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "std", "low", "high"):
            _check_count(name, getattr(self, name), self.shape)
        if self.std is not None and 0.0 in self.std:
            raise ValueError("`std` must not be 0")


@dataclass(frozen=True)
class Picture(Tensor):
    """What a single file takes or returns beside the model's own tensors: uint8 (height, width, 3)."""

    type: Literal["uint8"] = "uint8"

    def __post_init__(self) -> None:
        if len(self.shape) != 3:
            raise ValueError("`shape` must be a height, a width and 3")


@dataclass(frozen=True)
class Model:
    """What was compiled: its name, where it came from, and its opset."""

    name: str
    source: str = ""
    opset: int = 0


@dataclass(frozen=True)
class PlanRow:
    """One layer of the plan, in words."""

    layer: str
    op: str
    kind: str
    rule: str
    why: str


@dataclass(frozen=True)
class Thresholds:
    """Outside of these, per unit of seed, an explanation is not to be trusted.

    abs_sum: the least and the largest sum of |R|.  nonfinite: how many values may be NaN or infinite.
    """

    abs_sum: tuple[float, float] = (0.01, 10.0)
    nonfinite: int = 0


@dataclass(frozen=True)
class Box:
    """The range that ZBox takes the input to lie in: one number, or one per channel."""

    low: float | Numbers
    high: float | Numbers


@dataclass(frozen=True)
class Where:
    """The names of a layer's tensors in explain.onnx. Relevance is the product of the tensors of a list.

    arriving: the relevance at its output.  handed: what each of its inputs gets.
    divisions: each share's stabilized denominator, and the quotient by it.
    """

    layer: str
    arriving: Product
    handed: tuple[Product, ...] = ()
    divisions: tuple[tuple[str, str], ...] = ()

    @property
    def tensors(self) -> set[str]:
        """All names."""
        return {name for names in (self.arriving, *self.handed, *self.divisions) for name in names}


@dataclass(frozen=True)
class Tunable:
    """A number that the graphs take as an input.

    name: of the input.  rule: whose parameter it is.  default: its value.  layers: how many have the rule.
    """

    name: str
    rule: str
    default: float
    layers: int


@dataclass(frozen=True)
class Fingerprint:
    """What a file must be: its size, and the SHA-256 of its bytes in hexadecimal digits."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    input: the one that relevance goes to.  others: the further ones.  classes: their names, None where unknown.
    optimize, target: the level, and the runtimes that it was emitted for; None for the definitions.
    seed: what explain.onnx takes to say what is explained: the class ("target"), or a tensor ("seed").
    box: the range that ZBox was given, None where no such rule reads the input.
    trace: where each layer's relevance is, from the output down; None in bundles that do not tell.
    picture, heatmap: of a single file that takes or returns them.  taps: what forward.onnx hands to relevance.onnx.
    files: the other files of a folder.
    """

    format: int
    versions: dict[str, str]
    model: Model
    input: Input
    output: Tensor
    classes: tuple[str, ...] | None
    composite: str
    optimize: Literal[0, 1]
    target: str | None
    seed: Literal["target", "seed"]
    plan: tuple[PlanRow, ...]
    thresholds: Thresholds
    box: Box | None = None
    others: tuple[Other, ...] = ()
    trace: tuple[Where, ...] | None = None
    tunables: tuple[Tunable, ...] = ()
    half_forward: bool = False
    picture: Picture | None = None
    heatmap: Picture | None = None
    taps: tuple[str, ...] = ()
    files: dict[str, Fingerprint] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.box is not None:
            for name in ("low", "high"):
                values = getattr(self.box, name)
                _check_count(f"box.{name}", values if isinstance(values, tuple) else None, self.input.shape)
        layers = {row.layer for row in self.plan}
        for where in self.trace or ():
            if where.layer not in layers:
                raise ValueError(f"`trace` tells of {where.layer[:40]!r}, which `plan` does not")
        if self.picture is not None and (self.input.mean is None or self.input.std is None):
            raise ValueError("a file that takes pictures must have `input.mean` and `input.std`")

    def to_json(self) -> str:
        """Return the text that `read_manifest` reads."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode()


def read_manifest(text: bytes | str, source: str, hint: str) -> Manifest:
    """Read a manifest. source: what it is called in a message.  hint: what to do where it cannot be read.

    Raises LrpcError that names the field which is missing, or of the wrong type or length, and for another format.
    """
    try:
        head = msgspec.json.decode(text, type=dict[str, object])
        if head.get("format", FORMAT) != FORMAT:
            told = str(head["format"])[:20]
            raise LrpcError(f"{source} has bundle format {told}; this lrpc reads format {FORMAT}.", hint=hint)
        return msgspec.convert(head, Manifest)
    except msgspec.ValidationError as error:
        raise LrpcError(f"{source} cannot be used: {_in_words(str(error))}.", hint=hint) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise LrpcError(f"{source} is no JSON that lrpc wrote: {reason}.", hint=hint) from error


_LONGEST = 160
"""Of what is wrong with a field, in letters: it may quote what stands there."""


def _in_words(complaint: str) -> str:
    """Say a complaint of msgspec's with the field first: "Expected `int`, got `str` - at `$.input.shape[0]`"."""
    what, _, place = complaint.partition(" - at `$")
    what = what[:1].lower() + (what[1:] if len(what) <= _LONGEST else f"{what[1:_LONGEST]}...")
    field_name = place.rstrip("`").lstrip(".").replace("[...]", "one of its values")
    return f"{field_name}: {what}" if field_name else what


def _check_count(name: str, values: Sequence[float] | None, shape: Sequence[int | None]) -> None:
    channels = shape[0] if shape else None
    if values is not None and channels is not None and len(values) != channels:
        raise ValueError(f"`{name}` has {len(values)} values, and the input {channels} channels")
