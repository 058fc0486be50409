"""Make docs/web-desktop.png and docs/web-phone.png: the page of `lrpc package --web` with a picture explained.

    python -m studies.web_pictures

Needs chromium, playwright and tests/deploy/node_modules (`make test-deploy` installs what Python and npm have).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import lrpc
from lrpc.package.web import package_web
from studies.browser import chromium, served

ROOT = Path(__file__).parents[1]
SHAPES = ROOT / "models/shapes"
RUNTIME = ROOT / "tests/deploy/node_modules/onnxruntime-web/dist"
Scheme = Literal["light", "dark"]

SHOTS: dict[str, tuple[int, int, Scheme]] = {"web-desktop": (1280, 800, "light"), "web-phone": (375, 812, "dark")}
"""By name: width and height in CSS pixels, and which colours the reader's system prefers."""


def main() -> None:
    """Write the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shapes.explain.onnx"
        compiled = lrpc.compile(SHAPES / "shapes.onnx", target="portable", preprocess="size", heatmap=True)
        compiled.save(file, single_file=True)
        page = package_web(file, Path(folder) / "page", runtime=RUNTIME, title="Which shape is it?")
        with served(page) as address, chromium() as browser:
            for name, (width, height, scheme) in SHOTS.items():
                tab = browser.new_page(
                    viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=2
                )
                tab.goto(address)
                tab.locator("#file:enabled").set_input_files(SHAPES / "samples/star.png")
                tab.locator("#result:visible").wait_for()
                tab.screenshot(path=ROOT / f"docs/{name}.png", full_page=True)
                print(f"wrote docs/{name}.png")


if __name__ == "__main__":
    main()
