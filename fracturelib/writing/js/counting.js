// Numbers of an operating point and of a reading, equal to Python's (evaluation/consequences.py, intervals.py).
//
// Predictions come as cells, the highest probability first: {probability: [k], fractured: [k], healthy: [k]}, where
// `fractured` and `healthy` count the files of that probability. Rates are NaN where there is nothing to divide by.

export const PATIENTS = 1000;
const BINS = 10; // of equal width, as in evaluation/metrics.py

/** Cells with running sums: found[i] and alarms[i] count the files of each class in the first i cells. */
export function makeCells({ probability, fractured, healthy }) {
  const sums = (counts) => counts.reduce((found, count) => (found.push(found.at(-1) + count), found), [0]);
  return { probability, fractured, healthy, found: sums(fractured), alarms: sums(healthy) };
}

/** How many cells lie at or above the threshold. */
function cellsCalled(probability, threshold) {
  let low = 0, high = probability.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (probability[middle] >= threshold) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Counts and rates in the data at a threshold, and what a call is worth at a stated prevalence (Bayes). */
export function operatingPoint(cells, { threshold, prevalence, miss = 1 }) {
  const called = cellsCalled(cells.probability, threshold);
  const truePositive = cells.found[called], falsePositive = cells.alarms[called];
  const fractured = cells.found.at(-1), healthy = cells.alarms.at(-1);
  const sensitivity = truePositive / fractured, specificity = (healthy - falsePositive) / healthy;
  const hit = sensitivity * prevalence, alarm = (1 - specificity) * (1 - prevalence);
  const clear = specificity * (1 - prevalence), missed = (1 - sensitivity) * prevalence;
  return {
    truePositive, falsePositive, falseNegative: fractured - truePositive, trueNegative: healthy - falsePositive,
    sensitivity, specificity, accuracy: (truePositive + healthy - falsePositive) / (fractured + healthy),
    ppv: hit / (hit + alarm), npv: clear / (clear + missed),
    cost: PATIENTS * (miss * missed + alarm), costOfMisses: PATIENTS * miss * missed,
  };
}

/** Python's round: a half goes to the even number. */
export function roundEven(value) {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

/** The same told of 1,000 patients: whole numbers that add up. */
export function naturalFrequencies({ sensitivity, specificity }, prevalence) {
  const broken = roundEven(prevalence * PATIENTS);
  const found = roundEven(sensitivity * broken), alarmed = roundEven((1 - specificity) * (PATIENTS - broken));
  return { broken, found, missed: broken - found, alarmed, cleared: PATIENTS - broken - alarmed };
}

/** Points (false positive rate, sensitivity) of every threshold, from (0, 0) to (1, 1). */
export function rocPoints(cells) {
  const fractured = cells.found.at(-1), healthy = cells.alarms.at(-1);
  return cells.found.map((found, index) => [cells.alarms[index] / healthy, found / fractured]);
}

/** Mean probability and share of fractures in every bin that holds a file, the classes weighed to a prevalence. */
export function reliability(cells, prevalence) {
  const weights = [prevalence / cells.found.at(-1), (1 - prevalence) / cells.alarms.at(-1)];
  const bins = Array.from({ length: BINS }, () => ({ n: 0, weight: 0, chance: 0, broken: 0 }));
  cells.probability.forEach((probability, index) => {
    let place = 0; // an edge belongs to the bin below it
    while (place < BINS - 1 && (place + 1) * 0.1 < probability) place += 1;
    const broken = weights[0] * cells.fractured[index], whole = weights[1] * cells.healthy[index];
    const bin = bins[place];
    bin.n += cells.fractured[index] + cells.healthy[index];
    bin.weight += broken + whole;
    bin.chance += (broken + whole) * probability;
    bin.broken += broken;
  });
  return bins.filter((bin) => bin.weight > 0)
    .map(({ n, weight, chance, broken }) => ({ n, mean: chance / weight, share: broken / weight }));
}

/** Thresholds halfway between neighbouring probabilities and beyond both ends, ascending, as `operating_points`. */
export function candidates({ probability }) {
  const rising = [...probability].reverse();
  const between = rising.slice(1).map((above, index) => {
    const middle = (rising[index] + above) / 2;
    return middle > rising[index] ? middle : above;
  });
  return [rising[0] / 2, ...between, (rising.at(-1) + 1) / 2].filter((value) => value > 0 && value < 1);
}

/** [threshold, cost per 1,000 patients, that of the misses alone] of every candidate. */
export function costs(cells, { prevalence, miss }) {
  return candidates(cells).map((threshold) => {
    const { cost, costOfMisses } = operatingPoint(cells, { threshold, prevalence, miss });
    return [threshold, cost, costOfMisses];
  });
}

/** The threshold of least cost; among equals the nearest to 0.5, and the lower of two that are equally near. */
export function cheapest(costed) {
  const least = Math.min(...costed.map(([, cost]) => cost));
  const best = costed.filter(([, cost]) => cost <= least + 1e-9).map(([threshold]) => threshold);
  return best.reduce((kept, one) => (Math.abs(one - 0.5) < Math.abs(kept - 0.5) ? one : kept));
}

/** Wilson's 95 % interval of a share. */
export function wilson(count, n) {
  const z = 1.959963984540054, share = count / n, square = (z * z) / n;
  const middle = (share + square / 2) / (1 + square);
  const half = (z / (1 + square)) * Math.sqrt((share * (1 - share)) / n + square / (4 * n));
  return [count === 0 ? 0 : Math.max(0, middle - half), count === n ? 1 : Math.min(1, middle + half)];
}

/** Two-sided exact McNemar test: how often chance parts two equals at least as far over a + b cases. */
export function mcnemar(a, b) {
  const n = a + b;
  let tail = 0, term = 0.5 ** n; // binomial probability of i
  for (let i = 0; i <= Math.min(a, b); i += 1) {
    tail += term;
    term *= (n - i) / (i + 1);
  }
  return Math.min(1, 2 * tail);
}
