"""Everything that docs/stability.md shows: `python -m studies.stability`, about six minutes on two cores.

Writes the pictures in docs/stability/, and the tables between the markers of docs/stability.md. ResNet-50, ResNet-18
and VGG-16 have random weights (seed 0); the trained network is the one in models/shapes.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import lrpc
from lrpc import composites, rules
from lrpc.bundle.input_spec import InputSpec
from lrpc.composites.composite import Composite, Entry
from lrpc.export import export, load_torch
from lrpc.images.colour import contact_sheet, render
from lrpc.inspect.diagnose.doctor import Diagnosis, diagnose
from lrpc.inspect.diagnose.sweep import sweep
from lrpc.inspect.diagnose.trace import Tracer
from lrpc.inspect.diagnose.trace_plot import plot_trace
from lrpc.rules.constructors import Bound
from lrpc.rules.kinds import LINEAR
from lrpc.runtime.explainer import Explainer
from lrpc.runtime.health import HealthWarning
from models.shapes.localisation import HIGH, LOW, MODEL, Pictures, Scores, evaluate, unseen_pictures

DOCS = Path(__file__).parents[1] / "docs"
FOLDER = DOCS / "stability"
COUNT = 500
WORST = [7, 127, 186, 16]
"""The test pictures on which plain Gamma explodes most."""
POINTS_AT_IT, POINTS_ELSEWHERE = 0.35, 0.2
"""Rank accuracies that call a heatmap good, or no better than twice chance."""

Row = Sequence[str]


def plain_gamma(low: Bound, high: Bound, **parameters: Any) -> Composite:
    """epsilon_gamma_box with the historic Gamma rule."""
    return _with_gamma(rules.gamma_plain(**parameters), low, high, parameters)


def biased_gate(low: Bound, high: Bound) -> Composite:
    """epsilon_gamma_box with biases zeroed and zennit's gate."""
    return _with_gamma(rules.gamma(zero_params="bias", compat=True), low, high, {"zero_params": "bias"})


def _with_gamma(rule: rules.Rule, low: Bound, high: Bound, parameters: dict[str, Any]) -> Composite:
    base = composites.epsilon_gamma_box(low, high, **parameters)
    entries = [
        entry if not entry.rule.name.startswith("gamma") else replace(entry, rule=rule) for entry in base.entries
    ]
    return Composite("epsilon_gamma_box", tuple(entries))


def everywhere(rule: rules.Rule, low: Bound, high: Bound) -> Composite:
    """ZBox first, then one rule for convolutions, Epsilon for dense layers, Norm for sums."""
    box = Entry(rules.z_box(low, high), LINEAR, first=True)
    return Composite("box", (box, *_with_gamma(rule, low, high, {}).entries))


BOXED: dict[str, Callable[..., Composite]] = {
    "epsilon_gamma_box": composites.epsilon_gamma_box,
    "epsilon_gamma_box, biases zeroed": lambda low, high: composites.epsilon_gamma_box(low, high, zero_params="bias"),
    "epsilon_gamma_box, sums by absolute value": lambda low, high: _sums(rules.abs_split(), low, high),
    "epsilon_gamma_box, body only": lambda low, high: _sums(rules.BodyOnly(), low, high),
    "epsilon_plus": lambda low, high: composites.epsilon_plus(),
    "epsilon_plus_flat": lambda low, high: composites.epsilon_plus_flat(),
    "epsilon_alpha2_beta1": lambda low, high: composites.epsilon_alpha2_beta1(),
    "epsilon_alpha2_beta1_flat": lambda low, high: composites.epsilon_alpha2_beta1_flat(),
    "excitation_backprop": lambda low, high: composites.excitation_backprop(),
    "bounded": lambda low, high: composites.bounded(),
    "epsilon everywhere": lambda low, high: everywhere(rules.epsilon(), low, high),
    "epsilon, 0.25 rms": lambda low, high: everywhere(rules.epsilon("eps=0.25,scale=rms"), low, high),
    "epsilon, 0.25 rms unsigned": lambda low, high: everywhere(
        rules.epsilon("eps=0.25,floor=1e-9,scale=rms,unsigned"), low, high
    ),
    "plain Gamma": plain_gamma,
    "plain Gamma, biases zeroed": lambda low, high: plain_gamma(low, high, zero_params="bias"),
    "general Gamma, biases zeroed, biased gate": biased_gate,
    "tutorial": composites.tutorial,
}


def _sums(rule: rules.Behaviour, low: Bound, high: Bound) -> Composite:
    base = composites.epsilon_gamma_box(low, high)
    return Composite(base.name, (Entry(rule, ops=("Sum",)), *base.entries))


def main() -> None:
    """Make every table and picture."""
    warnings.simplefilter("ignore", HealthWarning)
    FOLDER.mkdir(exist_ok=True)
    pictures = unseen_pictures(COUNT)
    print("localisation of every composite on the trained network")
    scores = {name: evaluate(build(LOW, HIGH), pictures) for name, build in BOXED.items()}
    _write("localisation", _localisation(scores))
    _write("alarms", _alarms(scores))
    cures = {
        name: _cure(name, pictures) for name in ("plain Gamma", "general Gamma, biases zeroed, biased gate", "tutorial")
    }
    _write("cures", _cures(cures, pictures))
    _sheet(pictures, cures["plain Gamma"])
    _study(pictures)
    print("torchvision's networks")
    with tempfile.TemporaryDirectory() as folder:
        _write("torchvision", _torchvision(Path(folder)))


def _localisation(scores: dict[str, Scores]) -> list[Row]:
    head = ("composite", "sum of \\|R\\|: median", "least", "most", "mass", "rank")
    rows: list[Row] = [head]
    for name, found in scores.items():
        sizes = (np.median(found.abs_sum), found.abs_sum.min(), found.abs_sum.max())
        cells = [f"{mean:.3f} ± {error:.3f}" for mean, error in map(found.mean, ("mass", "rank"))]
        rows.append((name, *(f"{size:.2g}" for size in sizes), *cells))
    return rows


def _alarms(scores: dict[str, Scores]) -> list[Row]:
    rows: list[Row] = [("composite", "alarms", "of these the heatmap is good", "no alarm, but it points elsewhere")]
    for name, found in scores.items():
        alarmed, good, bad = found.alarmed, found.rank >= POINTS_AT_IT, found.rank < POINTS_ELSEWHERE
        counts = (alarmed, alarmed & good, ~alarmed & bad)
        rows.append((name, *(f"{count.mean():.1%}" for count in counts)))
    return rows


def _cure(name: str, pictures: Pictures) -> tuple[Composite, Diagnosis]:
    composite = BOXED[name](LOW, HIGH)
    plan = lrpc.plan_model(MODEL, composite=composite)
    return composite, diagnose(plan, pictures.x[WORST], pictures.labels[WORST])


def _cures(cures: dict[str, tuple[Composite, Diagnosis]], pictures: Pictures) -> list[Row]:
    head = ("composite", "layers changed", "traces", "sum of \\|R\\| before, worst", "after, worst")
    rows: list[Row] = [(*head, "rank correlation with general Gamma", "mass, 500 pictures", "rank, 500 pictures")]
    for name, (composite, found) in cures.items():
        scores = evaluate(found.composite(composite), pictures)
        cells = [f"{mean:.3f} ± {error:.3f}" for mean, error in map(scores.mean, ("mass", "rank"))]
        before, after = (trace.health.abs_sum.max() for trace in (found.before, found.after))
        agreement = f"{(found.agreement or (0, 0))[1]:.3f}"
        changed = f"{len(found.changes)} of {len(found.plan.rows)}"
        rows.append((name, changed, str(found.traces), f"{before:.2g}", f"{after:.2g}", agreement, *cells))
    return rows


def _sheet(pictures: Pictures, cure: tuple[Composite, Diagnosis]) -> None:
    """Draw the failure and its cure on the trained network, beside the true masks."""
    composite, found = cure
    choices = {"plain Gamma": composite, "cured": found.composite(composite), "bounded": composites.bounded()}
    x, labels = pictures.x[WORST], pictures.labels[WORST]
    results = [Explainer(lrpc.compile(MODEL, composite=c))(x, labels) for c in choices.values()]
    rows, captions = [], []
    for i, sample in enumerate(x):
        picture = np.clip((sample.transpose(1, 2, 0) * 0.25 + 0.5) * 255, 0, 255).astype(np.uint8)
        rows.append(
            [picture, pictures.masks[WORST[i]].astype(np.uint8) * 255, *(render(r.relevance[i]) for r in results)]
        )
        sizes = zip(choices, results, strict=True)
        captions.append("sum of |R|: " + ", ".join(f"{name} {result.health.abs_sum[i]:.2g}" for name, result in sizes))
    contact_sheet(rows, ("picture", "mask", *choices), captions, side=128).save(FOLDER / "trained.png")


def _study(pictures: Pictures) -> None:
    """Draw the thread's hyperparameter study: plain Gamma over gamma and epsilon."""
    compiled = lrpc.compile(MODEL, composite=plain_gamma(LOW, HIGH))
    grid = {"gamma": [0.0, 0.25, 1.0, 4.0], "epsilon": [1e-6, 1e-3, 1e-1, 1.0]}
    x, labels = pictures.x[WORST[:1]], pictures.labels[WORST[:1]]
    with tempfile.TemporaryDirectory() as folder:
        points = list(sweep(compiled, x, labels, grid, Path(folder) / "sweep"))
    width = len(grid["epsilon"])
    rows, captions = [], []
    for start in range(0, len(points), width):
        line = points[start : start + width]
        rows.append([render(point.relevance[0]) for point in line])
        captions.append(
            f"gamma {line[0].values['gamma']:g}, sum of |R|: " + ", ".join(f"{p.abs_sum[0]:.2g}" for p in line)
        )
    titles = [f"epsilon {value:g}" for value in grid["epsilon"]]
    contact_sheet(rows, titles, captions, side=128).save(FOLDER / "study.png")


def _torchvision(folder: Path) -> list[Row]:
    """Tabulate sums and alarms on networks with random weights, and draw ResNet-50's traces."""
    rows: list[Row] = [("model", "composite", "sum", "sum of \\|R\\|", "max - min", "alarms")]
    chosen = (
        *("plain Gamma", "plain Gamma, biases zeroed", "tutorial", "general Gamma, biases zeroed, biased gate"),
        *("epsilon everywhere", "epsilon_gamma_box", "epsilon_plus", "epsilon_alpha2_beta1", "bounded"),
    )
    for model in ("resnet18", "resnet50", "vgg16"):
        loaded = load_torch(f"torchvision:{model}")
        assert loaded.spec is not None
        path = export(loaded, folder / f"{model}.onnx")
        x = _photographs(loaded.spec)
        traces = {}
        for name in chosen:
            composite = BOXED[name](loaded.spec.low, loaded.spec.high)
            traces[name] = Tracer(lrpc.compile(path, composite=composite))(x, 1)
        for name, trace in traces.items():
            health = trace.health
            worst = int(np.nan_to_num(health.abs_sum, nan=np.inf).argmax())
            alarms = sum(map(bool, health.alarms(0.01, 10.0)))
            numbers = (health.sum[worst], health.abs_sum[worst], health.range[worst])
            rows.append((model, name, *(f"{number:.2e}" for number in numbers), f"{alarms} of {len(x)}"))
        if model == "resnet50":
            drawn = ("plain Gamma", "tutorial", "epsilon_gamma_box", "bounded")
            lines = {name: (traces[name].samples[0], float(traces[name].health.abs_sum[0])) for name in drawn}
            plot_trace(lines, FOLDER / "trace.png")
    return rows


def _photographs(spec: InputSpec) -> np.ndarray:
    """Three samples of the trained network, enlarged to the size of another model's input."""
    folder = MODEL.parent / "samples"
    size = (spec.shape[2], spec.shape[1])
    pictures = [
        np.asarray(Image.open(folder / f"{name}.png").resize(size)) / 255 for name in ("star", "heart", "cross")
    ]
    assert spec.mean is not None
    assert spec.std is not None
    mean, std = np.reshape(spec.mean, (-1, 1, 1)), np.reshape(spec.std, (-1, 1, 1))
    x: np.ndarray = (np.stack(pictures).transpose(0, 3, 1, 2) - mean) / std
    return x.astype(np.float32)


def _write(name: str, rows: Sequence[Row]) -> None:
    """Put a table between its markers in docs/stability.md."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    file = DOCS / "stability.md"
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    text, count = pattern.subn(
        lambda match: match[1] + "\n".join(lines) + "\n" + match[2], file.read_text(encoding="utf-8")
    )
    assert count == 1, f"{file.name} has no place for the table {name}"
    file.write_text(text, encoding="utf-8")
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
