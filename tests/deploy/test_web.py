"""The web page in chromium, against ONNX Runtime on the CPU."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from PIL import Image
from playwright.sync_api import expect

import lrpc
from lrpc.cli import main
from lrpc.package.web import RUNTIME_VERSION, package_web
from models.shapes.localisation import MODEL
from studies.browser import chromium, served
from tests.files import read_image

pytestmark = pytest.mark.deploy

DEPLOY = Path(__file__).parent
ROOT = DEPLOY.parents[1]
RUNTIME = DEPLOY / "node_modules/onnxruntime-web/dist"
SAMPLES = MODEL.parent / "samples"
CLASSES = ["circle", "triangle", "square", "pentagon", "star", "cross", "ring", "crescent", "heart", "arrow"]
TOP = "#top button"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("web") / "shapes.explain.onnx"
    return lrpc.compile(MODEL, target="portable", preprocess="size", heatmap=True).save(path, single_file=True)


@pytest.fixture(scope="module")
def page_folder(file):
    if not RUNTIME.is_dir():
        pytest.fail("onnxruntime-web is not there: make tests/deploy/node_modules/.installed")
    return package_web(file, file.parent / "page", runtime=RUNTIME)


@pytest.fixture(scope="module")
def address(page_folder):
    with served(page_folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(browser, address):
    """The page, ready; it must have asked nobody but its server, and have thrown nothing."""
    tab = browser.new_page(viewport={"width": 1280, "height": 800})
    asked, thrown = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: thrown.append(str(error)))
    tab.on("console", lambda message: thrown.append(message.text) if message.type == "error" else None)
    tab.goto(address)
    tab.locator("#file:enabled").wait_for(state="attached")
    yield tab
    assert thrown == []
    assert len(asked) >= 10
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    tab.close()


def explained(tab, name):
    """Wait until the page has explained a class."""
    tab.get_by_text(f"Explained for {name}.", exact=True).wait_for()


def pixels(tab, canvas):
    """The pixels of a canvas, uint8 (h, w, 3)."""
    code = """canvas => {
        const {data, width, height} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return {data: Array.from(data), width, height};
    }"""
    found = tab.locator(f"#{canvas}").evaluate(code)
    rgba = np.array(found["data"], np.uint8).reshape(found["height"], found["width"], 4)
    assert (rgba[..., 3] == 255).all()
    return rgba[..., :3]


def assert_as_onnxruntime(tab, file, target):
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    feeds = {"image": pixels(tab, "picture")[None], "target": np.array([target])}
    output, health, heatmap = session.run(["output", "health", "heatmap"], feeds)
    shown = pixels(tab, "heatmap").astype(int)
    share = (np.abs(shown - heatmap[0]).max(axis=-1) <= 1).mean()
    assert share >= 0.999
    assert np.unique(shown.reshape(-1, 3), axis=0).shape[0] > 20
    assert float(tab.locator("#abs_sum").inner_text()) == pytest.approx(health[0, 1], rel=6e-3)
    shares = np.exp(output[0] - output[0].max())
    best = np.argsort(-shares)[:5]
    rows = [row.split("\n") for row in tab.locator(TOP).all_inner_texts()]
    assert [row[0] for row in rows] == [CLASSES[index] for index in best]
    assert [float(row[-1].removesuffix(" %")) for row in rows] == pytest.approx(
        100 * shares[best] / shares.sum(), abs=0.06
    )


def test_a_picture_is_explained_and_then_for_another_class(tab, file):
    tab.locator("#file").set_input_files(SAMPLES / "star.png")
    explained(tab, "star")
    np.testing.assert_array_equal(pixels(tab, "picture"), np.asarray(read_image(SAMPLES / "star.png").convert("RGB")))
    assert_as_onnxruntime(tab, file, -1)
    assert tab.locator("#badge").inner_text() == "Sound"
    first = pixels(tab, "heatmap")
    tab.locator("#class").select_option("heart")
    explained(tab, "heart")
    assert_as_onnxruntime(tab, file, CLASSES.index("heart"))
    assert (pixels(tab, "heatmap") != first).any()
    tab.locator(TOP).nth(1).click()
    second = tab.locator(f"{TOP}[aria-pressed=true]")
    expect(tab.locator(TOP).nth(1)).to_have_attribute("aria-pressed", "true", timeout=30_000)
    assert_as_onnxruntime(tab, file, int(second.get_attribute("data-class")))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_a_picture_of_any_size_and_kind_is_scaled_by_the_browser(tab, file, tmp_path, kind):
    sample = read_image(SAMPLES / "heart.png").convert("RGB").resize((400, 400))
    wide = Image.new("RGB", (700, 400), (90, 120, 150))
    wide.paste(sample, (150, 0))
    wide.save(tmp_path / f"wide.{kind.lower()}", kind)
    tab.locator("#file").set_input_files(tmp_path / f"wide.{kind.lower()}")
    explained(tab, "heart")
    assert_as_onnxruntime(tab, file, -1)
    centre = np.asarray(read_image(tmp_path / f"wide.{kind.lower()}").crop((150, 0, 550, 400)).resize((64, 64)))
    assert np.abs(pixels(tab, "picture").astype(int) - centre).mean() < 3


def test_transparent_pixels_are_white(tab, tmp_path):
    Image.new("RGBA", (64, 64), (10, 20, 30, 0)).save(tmp_path / "glass.png")
    tab.locator("#file").set_input_files(tmp_path / "glass.png")
    tab.locator("#result").wait_for()
    assert (pixels(tab, "picture") == 255).all()


WRONG = {
    "text": ("notes.txt", b"no picture", "notes.txt is no picture that this browser can read"),
    "text that claims to be a picture": ("notes.png", b"no picture", "notes.png is no picture"),
    "empty": ("empty.png", b"", "empty.png is no picture"),
    "cut short": ("cut.png", (SAMPLES / "star.png").read_bytes()[:40], "cut.png is no picture"),
}


@pytest.mark.parametrize(("name", "content", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_refused_with_a_sentence(tab, name, content, message):
    tab.locator("#file").set_input_files({"name": name, "mimeType": "image/png", "buffer": content})
    tab.locator("#message.alert").wait_for()
    assert message in tab.locator("#message").inner_text()
    assert tab.locator("#result").is_hidden()
    tab.locator("#file").set_input_files(SAMPLES / "star.png")
    explained(tab, "star")


DROP = """({files}) => {
    const data = new DataTransfer();
    for (const {name, bytes} of files) data.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
    document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


def test_pictures_can_be_dropped_one_at_a_time(tab):
    star = {"name": "star.png", "bytes": list((SAMPLES / "star.png").read_bytes())}
    tab.evaluate(DROP, {"files": [star, star]})
    assert "one picture at a time" in tab.locator("#message.alert").inner_text()
    tab.evaluate(DROP, {"files": [star]})
    explained(tab, "star")


def test_the_keyboard_is_enough(tab):
    tab.on("filechooser", lambda chooser: None)  # chromium must have heard of it before the key is pressed
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "file"
    with tab.expect_file_chooser() as chooser:
        tab.keyboard.press("Space")
    chooser.value.set_files(SAMPLES / "star.png")
    explained(tab, "star")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "opacity"
    tab.keyboard.press("End")
    assert tab.locator("#share").inner_text() == "100 %"
    assert tab.locator("#over").evaluate("canvas => canvas.style.opacity") == "1"
    for _ in range(2):
        tab.keyboard.press("Tab")
    second = tab.locator(f"{TOP} .name").nth(1).inner_text()
    tab.keyboard.press("Enter")
    explained(tab, second)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(375, 812), (1280, 800)])
def test_nothing_is_wider_than_the_screen(browser, address, width, height, scheme):
    tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    tab.goto(address)
    tab.locator("#file:enabled").set_input_files(SAMPLES / "star.png")
    explained(tab, "star")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("#heatmap").bounding_box()["width"] >= 140
    bright = tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] > 128")
    assert bright == (scheme == "light")
    tab.close()


HEALTH = {
    "sound": ([1, 1, 0.1, 0], True, "Sound"),
    "explodes": ([1, 1e6, 9, 0], False, "The relevance explodes"),
    "vanishes": ([0, 1e-5, 0, 0], False, "The relevance vanishes"),
    "no number": ([0, 1, 0, 3], False, "3 relevance values are not numbers"),
    "nothing": ([0, 0, 0, 0], True, "No relevance at all"),
}


@pytest.mark.parametrize(("health", "ok", "text"), HEALTH.values(), ids=HEALTH)
def test_the_badge_says_what_lrpc_says(tab, page_folder, health, ok, text):
    thresholds = json.loads((page_folder / "model.json").read_text())["thresholds"]
    code = "async ([health, thresholds]) => (await import('/verdict.js')).judge(health, thresholds)"
    said = tab.evaluate(code, [health, thresholds])
    assert said["ok"] == ok
    assert text in f"{said['badge']} {said['why']}"
    assert bool(lrpc.Health(*np.array(health, float)[:, None]).alarms(*thresholds["abs_sum"])[0]) != ok


def test_what_the_server_lacks_is_told(browser, page_folder, tmp_path):
    for missing, message in (("model.onnx", "model.onnx did not load: 404"), ("model.json", "model.json did not load")):
        copy = tmp_path / missing
        shutil.copytree(page_folder, copy)
        (copy / missing).unlink()
        with served(copy) as address:
            tab = browser.new_page()
            tab.goto(address)
            tab.locator("#message.alert").wait_for()
            assert message in tab.locator("#message").inner_text()
            tab.close()


def test_a_page_opened_as_a_file_says_what_to_do(browser, page_folder):
    tab = browser.new_page()
    tab.goto(f"file://{page_folder}/index.html")
    assert "python3 -m http.server" in tab.locator("#unserved:visible").inner_text()
    tab.close()


def test_the_commands_of_the_example_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "node_modules").symlink_to(DEPLOY / "node_modules")
    readme = (ROOT / "examples/web/README.md").read_text(encoding="utf-8")
    commands = [line for line in readme.splitlines() if line.startswith("lrpc ")]
    assert len(commands) == 2
    for command in commands:
        result = CliRunner().invoke(main, shlex.split(command)[1:])
        assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "shapes-page/model.json").read_text())["title"] == "Which shape is it?"


def test_the_versions_agree():
    packages = json.loads((DEPLOY / "package.json").read_text())["dependencies"]
    assert {version for name, version in packages.items() if name.startswith("onnxruntime")} == {RUNTIME_VERSION}
    install = f"npm install --ignore-scripts onnxruntime-web@{RUNTIME_VERSION}"
    assert install in main.commands["package"].help
    assert install in (ROOT / "examples/web/README.md").read_text(encoding="utf-8")
    assert f"ONNX Runtime Web {RUNTIME_VERSION}" in (ROOT / "docs/contract.md").read_text(encoding="utf-8")
