"""Train the shapes network: `python -m models.shapes.train [--epochs 20] [--out models/shapes]`."""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.shapes.dataset import CLASSES, parallel_batch
from models.shapes.network import MEAN, STD, ShapesResNet, shapes_resnet

TRAIN_SEED, TEST_SEED = 0, 1
TRAIN_IMAGES, TEST_IMAGES = 24_000, 2_000
BATCH, PEAK_RATE, WEIGHT_DECAY = 128, 4e-3, 0.02


def normalised(images: np.ndarray) -> torch.Tensor:
    """Turn uint8 (n, h, w, 3) into the network's float32 (n, 3, h, w)."""
    x = torch.tensor(images).permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def augmented(x: torch.Tensor) -> torch.Tensor:
    """Flip and quarter-turn a whole batch at random; every class survives both."""
    turns, flip = int(torch.randint(4, ())), bool(torch.randint(2, ()))
    x = torch.rot90(x, turns, (2, 3))
    return x.flip(3) if flip else x


def train(epochs: int) -> tuple[ShapesResNet, dict[str, Any]]:
    """Train from scratch with fixed seeds; return the network and what there is to tell of it."""
    started = time.time()
    torch.manual_seed(0)
    images, _, labels = parallel_batch(TRAIN_SEED, TRAIN_IMAGES)
    targets = torch.from_numpy(labels)
    drawn = time.time() - started
    network = shapes_resnet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    steps = TRAIN_IMAGES // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, epochs=epochs, steps_per_epoch=steps)
    for epoch in range(epochs):
        order = torch.randperm(TRAIN_IMAGES)
        loss = _epoch(network, images, targets, order, optimiser, schedule)
        print(f"epoch {epoch + 1:2d}/{epochs}  loss {loss:.4f}  {time.time() - started:.0f} s", flush=True)
    report = evaluate(network)
    parameters = sum(p.numel() for p in network.parameters())
    report |= {"epochs": epochs, "parameters": parameters, "seconds": round(time.time() - started)}
    return network, report | {"drawing_seconds": round(drawn)}


def _epoch(network: nn.Module, images: np.ndarray, targets: torch.Tensor, order: torch.Tensor,
           optimiser: torch.optim.Optimizer, schedule: Any) -> float:  # fmt: skip
    network.train()
    total, steps = 0.0, len(order) // BATCH
    for step in range(steps):
        chosen = order[step * BATCH : (step + 1) * BATCH]
        x = augmented(normalised(images[chosen.numpy()])).contiguous(memory_format=torch.channels_last)
        loss = nn.functional.cross_entropy(network(x), targets[chosen], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        total += float(loss.detach())
    return total / steps


@torch.no_grad()
def evaluate(network: nn.Module, count: int = TEST_IMAGES) -> dict[str, Any]:
    """Measure accuracy on pictures drawn from another seed, overall and by class."""
    network.eval()
    images, _, labels = parallel_batch(TEST_SEED, count)
    scores = [network(normalised(images[i : i + 200])) for i in range(0, count, 200)]
    hits = torch.cat(scores).argmax(dim=1).numpy() == labels
    by_class = {name: round(float(hits[labels == i].mean()), 4) for i, name in enumerate(CLASSES)}
    return {"test_images": count, "accuracy": round(float(hits.mean()), 4), "by_class": by_class}


def main() -> None:
    """Train, evaluate, and write shapes.pt and training.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    torch.set_num_threads(2)
    network, report = train(options.epochs)
    report |= {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    weights = options.out / "shapes.pt"
    torch.save({k: v.contiguous() for k, v in network.state_dict().items()}, weights)
    report["state_dict_bytes"] = weights.stat().st_size
    (options.out / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
