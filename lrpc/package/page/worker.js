// Loads and runs the model away from the page, on one thread, so that the page stays responsive.
//
// In: {model} once, then {id, image, target}.  Out: {loaded, total}, {ready}, {id, target, output, health, heatmap,
// milliseconds}, and {id, failed} with a sentence.
import * as ort from "./ort/ort.wasm.min.mjs";

const RUNTIME = new URL("./ort/ort-wasm-simd-threaded", import.meta.url).href;
let model, session;

onmessage = async ({ data }) => {
  try {
    postMessage(data.model ? await load(data.model) : await explain(data));
  } catch (error) {
    postMessage({ id: data.id, failed: error.message || String(error) });
  }
};

async function load(description) {
  model = description;
  const total = model.bytes + model.runtime_bytes;
  let loaded = 0;
  const report = (bytes) => postMessage({ loaded: (loaded += bytes), total });
  const [wasm, graph] = await Promise.all([download(`${RUNTIME}.wasm`, report), download(model.file, report)]);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: `${RUNTIME}.mjs` };
  ort.env.wasm.wasmBinary = wasm;
  session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
  return { ready: true };
}

async function download(url, report) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} did not load: ${response.status} ${response.statusText}.`);
  const parts = [];
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
    parts.push(value);
    report(value.length);
  }
}

async function explain({ id, image, target }) {
  const started = performance.now();
  const feeds = {
    image: new ort.Tensor("uint8", image, [1, model.height, model.width, 3]),
    target: new ort.Tensor("int64", BigInt64Array.of(BigInt(target)), [1]),
  };
  const found = await session.run(feeds, [model.output, "health", "heatmap"]);
  const [output, health, heatmap] = [model.output, "health", "heatmap"].map((name) => found[name].data.slice());
  return { id, target, output, health, heatmap, milliseconds: performance.now() - started };
}
