// Run jobs on onnxruntime-node or onnxruntime-web: node node.mjs PACKAGE NODE_MODULES JOB...
// lrpc/inspect/conformance/runtimes/job.py says what a job is.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, uint8: Uint8Array, int8: Int8Array,
  int32: Int32Array, int64: BigInt64Array, bool: Uint8Array,
};

const [packageName, nodeModules, ...jobs] = process.argv.slice(2);
const ort = createRequire(path.join(nodeModules, 'package.json'))(packageName);
const provider = packageName === 'onnxruntime-web' ? 'wasm' : 'cpu';

function read(folder, { file, type, shape }) {
  const bytes = fs.readFileSync(path.join(folder, file));
  const data = new ARRAYS[type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  return new ort.Tensor(type, data, shape);
}

function write(folder, tensor, file) {
  const { data } = tensor;
  fs.writeFileSync(path.join(folder, file), Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  return { file, type: tensor.type, shape: tensor.dims.map(Number) };
}

async function open(model) {
  const options = { executionProviders: [provider], logSeverityLevel: 3 };
  if (provider === 'cpu') return ort.InferenceSession.create(model, options);
  const weights = path.join(path.dirname(model), 'weights.bin'); // wasm sees no file system: hand the weights over
  if (fs.existsSync(weights)) options.externalData = [{ path: 'weights.bin', data: fs.readFileSync(weights) }];
  return ort.InferenceSession.create(fs.readFileSync(model), options);
}

async function run(folder) {
  const job = JSON.parse(fs.readFileSync(path.join(folder, 'job.json'), 'utf8'));
  const session = await open(job.model);
  const feeds = Object.fromEntries(job.inputs.map((input) => [input.name, read(folder, input)]));
  let outputs = await session.run(feeds);
  let seconds = Infinity;
  for (let i = 0; i < job.repeats; i += 1) {
    const started = performance.now();
    outputs = await session.run(feeds);
    seconds = Math.min(seconds, (performance.now() - started) / 1000);
  }
  return {
    seconds: job.repeats ? seconds : 0,
    outputs: session.outputNames.map((name, i) => ({ name, ...write(folder, outputs[name], `output${i}.bin`) })),
  };
}

for (const folder of jobs) {
  let result;
  try {
    result = await run(folder);
  } catch (error) {
    result = { error: String(error.message ?? error).trim().split('\n')[0] };
  }
  fs.writeFileSync(path.join(folder, 'result.json'), JSON.stringify(result));
}
