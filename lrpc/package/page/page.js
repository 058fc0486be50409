// The page: a picture goes to the worker, an explanation comes back and is shown.
import { draw, fit, open, pixels } from "./picture.js";
import { className, judge, short, top } from "./verdict.js";

const TOP = 5;
const PREDICTED = -1;
const at = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), (element) => [element.id, element]));
const worker = new Worker("worker.js", { type: "module" });
let model;
let asked = 0; // the number of the question that was asked last; answers to older ones come too late

start().catch((error) => say(error.message, true));

async function start() {
  const response = await fetch("model.json");
  if (!response.ok) throw new Error(`model.json did not load: ${response.status} ${response.statusText}.`);
  model = await response.json();
  document.title = at.title.textContent = model.title;
  at.version.textContent = model.lrpc;
  document.body.classList.toggle("coarse", Math.max(model.width, model.height) < 160);
  for (let index = 0; index < model.count; index++) at.class.add(new Option(className(model, index), index));
  worker.onmessage = ({ data }) => hear(data);
  worker.onerror = () => say("The model did not load: worker.js or ort/ is missing on the server.", true);
  worker.postMessage({ model });
}

function hear(data) {
  if (data.failed) say(`It failed: ${data.failed}`, true);
  else if (data.total) showProgress(data);
  else if (data.ready) showReady();
  else if (data.id === asked) showExplanation(data);
}

function showProgress({ loaded, total }) {
  at.progress.value = loaded / total;
  at.loaded.textContent = `Loading the model: ${megabytes(loaded)} of ${megabytes(total)} MB`;
}

function showReady() {
  at.loading.hidden = true;
  at.file.disabled = false;
  at.drop.classList.add("ready");
  say("Ready.");
}

async function take(files) {
  if (at.file.disabled || !files.length) return;
  if (files.length > 1) return say("That were several files. Drop one picture at a time.", true);
  try {
    const picture = await open(files[0]);
    for (const canvas of [at.picture, at.under]) fit(canvas, picture, model.width, model.height);
    ask(PREDICTED);
  } catch (error) {
    say(error.message, true);
  }
}

function ask(target) {
  say("Explaining …");
  at.result.setAttribute("aria-busy", "true");
  worker.postMessage({ id: ++asked, image: pixels(at.picture), target });
}

function showExplanation({ target, output, health, heatmap, milliseconds }) {
  const best = top(output, TOP);
  const explained = target === PREDICTED ? best[0].index : target;
  const name = className(model, explained);
  draw(at.heatmap, heatmap, model.width, model.height);
  draw(at.over, heatmap, model.width, model.height, true);
  at.heatmap.setAttribute("aria-label", `Heatmap: red speaks for ${name}, blue against it`);
  at.subject.textContent = name;
  at.class.value = explained;
  at.top.replaceChildren(...best.map((entry) => row(entry, explained)));
  showHealth(health);
  at.timing.textContent = `The last explanation took ${Math.round(milliseconds)} ms.`;
  at.result.hidden = false;
  at.result.removeAttribute("aria-busy");
  say(`Explained for ${name}.`);
}

function row({ index, share }, explained) {
  const item = document.createElement("li");
  const button = item.appendChild(document.createElement("button"));
  const text = { name: className(model, index), share: `${(100 * share).toFixed(1)} %` };
  for (const [role, content] of Object.entries(text)) {
    const part = button.appendChild(document.createElement("span"));
    part.className = role;
    part.textContent = content;
  }
  button.type = "button";
  button.dataset.class = index;
  button.style.setProperty("--share", share);
  button.setAttribute("aria-pressed", index === explained);
  return item;
}

function showHealth(health) {
  const { ok, badge, why } = judge(health, model.thresholds);
  at.health.classList.toggle("ok", ok);
  at.badge.textContent = badge;
  at.why.textContent = why;
  at.sum.textContent = short(health[0]);
  at.abs_sum.textContent = short(health[1]);
}

function say(text, wrong = false) {
  at.message.textContent = text;
  at.message.classList.toggle("alert", wrong);
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}

at.file.addEventListener("change", () => {
  take(Array.from(at.file.files));
  at.file.value = ""; // so that the same file can be chosen again
});
at.class.addEventListener("change", () => ask(Number(at.class.value)));
at.top.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) ask(Number(button.dataset.class));
});
at.opacity.addEventListener("input", () => {
  at.over.style.opacity = at.opacity.value / 100;
  at.share.textContent = `${at.opacity.value} %`;
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at.drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") take(Array.from(event.dataTransfer.files));
  });
}
