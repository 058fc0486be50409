// What the numbers of a model mean: probabilities, names, and whether an explanation can be trusted.

/** The k largest of a model's scores, as [{index, share}], where share is its softmax. */
export function top(scores, k) {
  const largest = Math.max(...scores);
  const weights = Array.from(scores, (score) => Math.exp(score - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights
    .map((weight, index) => ({ index, share: weight / total }))
    .sort((a, b) => b.share - a.share)
    .slice(0, k);
}

export function className(model, index) {
  return model.classes ? model.classes[index] : `class ${index}`;
}

/** What health, [sum, abs_sum, range, nonfinite], says by the model's thresholds: {ok, badge, why}. */
export function judge([, absSum, , nonfinite], thresholds) {
  const [low, high] = thresholds.abs_sum;
  if (nonfinite > thresholds.nonfinite) {
    return warning(`${nonfinite} relevance values are not numbers or are infinite; they are green.`);
  }
  if (absSum === 0) return { ok: true, badge: "Sound", why: "No relevance at all." };
  if (absSum >= low && absSum <= high) {
    return { ok: true, badge: "Sound", why: `A sum of |R| from ${low} to ${high} can be trusted.` };
  }
  const what = absSum > high ? "explodes" : "vanishes";
  return warning(`The relevance ${what}: a sum of |R| from ${low} to ${high} can be trusted.`);
}

export function short(number) {
  const size = Math.abs(number);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? number.toExponential(1) : String(Number(number.toPrecision(3)));
}

function warning(why) {
  return { ok: false, badge: "Not to be trusted", why };
}
