// Explain a picture: node explain.mjs FILE.explain.onnx PICTURE.png HEATMAP.png [CLASS]

import fs from 'node:fs';
import ort from 'onnxruntime-node';
import { PNG } from 'pngjs';

const [file, picture, heatmap, target = '-1'] = process.argv.slice(2);
if (!heatmap) {
  console.error('usage: node explain.mjs FILE.explain.onnx PICTURE.png HEATMAP.png [CLASS]');
  process.exit(2);
}

const { width, height, data } = PNG.sync.read(fs.readFileSync(picture)); // RGBA
const rgb = Uint8Array.from({ length: width * height * 3 }, (_, i) => data[4 * Math.floor(i / 3) + (i % 3)]);

const session = await ort.InferenceSession.create(file);
const results = await session.run({
  image: new ort.Tensor('uint8', rgb, [1, height, width, 3]),
  target: new ort.Tensor('int64', [BigInt(target)], [1]), // -1: the top class
});

const scores = results[session.outputNames[0]].data; // the model's own output comes first
const top = scores.indexOf(Math.max(...scores));
const [sum, absSum, range, nonFinite] = results.health.data;
console.log(`top class ${top}, score ${scores[top].toFixed(3)}`);
console.log(`health: sum ${sum.toFixed(3)}, sum of |R| ${absSum.toFixed(3)}, `
  + `range ${range.toExponential(1)}, not finite ${nonFinite}`);

const [, h, w] = results.heatmap.dims;
const pixels = results.heatmap.data;
const png = new PNG({ width: w, height: h, colorType: 2 });
for (let i = 0; i < w * h; i += 1) png.data.set([pixels[3 * i], pixels[3 * i + 1], pixels[3 * i + 2], 255], 4 * i);
fs.writeFileSync(heatmap, PNG.sync.write(png, { colorType: 2 }));
