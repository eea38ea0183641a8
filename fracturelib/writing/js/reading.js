// What a reading is worth beside the model's calls on the same cases, in numbers and in words.
//
// An answer is {called: 0 or 1, sure: 1…3, seconds}; a case {key, label, called, probability}, `called` by the model.

import { mcnemar, wilson } from "./counting.js";
import { percent } from "./drawing.js";

/** Counts of the calls (n,) against the cases' labels (n,). */
export function countCalls(calls, labels) {
  const among = (label, call) => calls.filter((called, place) => labels[place] === label && called === call).length;
  const found = among(1, 1), missed = among(1, 0), alarms = among(0, 1), cleared = among(0, 0);
  return { found, missed, alarms, cleared, right: found + cleared, n: calls.length };
}

/** Reader and model on the same cases: counts of both, who alone was right how often, and the exact McNemar test. */
export function compareReading(answers, cases) {
  const labels = cases.map(({ label }) => label), calls = answers.map(({ called }) => called), model = cases.map(({ called }) => called);
  const alone = (one, other) => labels.filter((label, place) => one[place] === label && other[place] !== label).length;
  const ownAlone = alone(calls, model), modelAlone = alone(model, calls);
  return { own: countCalls(calls, labels), model: countCalls(model, labels), ownAlone, modelAlone, p: mcnemar(ownAlone, modelAlone) };
}

const times = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** A share of cases with Wilson's 95 % interval: 14 of 20 (48 to 85 %). */
export function shareOf(count, n) {
  const [low, high] = wilson(count, n);
  return `${count} of ${n} (95 % interval ${percent(low).replace(/\D+$/, "")} to ${percent(high)})`;
}

/** The reading in natural frequencies. */
export function toldCounts({ own, model }) {
  const broken = own.found + own.missed, whole = own.alarms + own.cleared;
  return `You found ${own.found} of ${times(broken, "fracture")} and raised ${times(own.alarms, "false alarm")} among ${whole} others. ` +
    `The model found ${model.found} and raised ${model.alarms}.`;
}

/** Who is better, if these cases can tell. */
export function toldVerdict({ own, model, ownAlone, modelAlone, p }) {
  const apart = `On ${times(own.n - ownAlone - modelAlone, "picture")} both of you were right or both wrong; you alone were right on ${ownAlone}, the model alone on ${modelAlone}.`;
  if (p >= 0.05) {
    const why = ownAlone + modelAlone ? ` Tossing coins would part two equals at least as far in ${percent(p)} of such readings.` : "";
    return { short: "Nobody can say who is better.", long: apart + why };
  }
  const better = own.right > model.right ? "You were better than the model" : "The model was better than you";
  return {
    short: `${better} on these ${own.n} pictures, by more than chance explains.`,
    long: `${apart} Tossing coins would part two equals as far in only ${percent(p, 1)} of such readings. Other pictures could say otherwise.`,
  };
}

/** How often the reader was right when a guess, fairly sure, certain. */
export function toldSureness(answers, cases, names) {
  const parts = Object.entries(names).map(([sure, name]) => {
    const chosen = answers.map((answer, place) => [answer, cases[place]]).filter(([answer]) => answer.sure === Number(sure));
    const right = chosen.filter(([answer, { label }]) => answer.called === label).length;
    return chosen.length ? `${name}: ${right} of ${chosen.length} right` : "";
  });
  return `How sure you were. ${parts.filter(Boolean).join("; ")}.`.replace(/\. (.)/, (_, first) => `. ${first.toUpperCase()}`);
}

/** A few lines for others. */
export function toldResult(compared, title, pictures) {
  const { own, model } = compared;
  return `${title} (${pictures})\nI was right in ${shareOf(own.right, own.n)}, the model in ${shareOf(model.right, model.n)}.\n` +
    `I found ${own.found} of ${own.found + own.missed} fractures with ${times(own.alarms, "false alarm")}; the model found ${model.found} with ${model.alarms}.\n` +
    toldVerdict(compared).short;
}

/** The reading as the class's file (files/readings.py): numbers only; `reading` is 32 random hex digits, `again` marks a second one. */
export function readingFile(answers, cases, reading, again) {
  const rows = answers.map(({ called, sure, seconds }, place) => ({
    called, case: cases[place].key, label: cases[place].label, seconds: Math.round(10 * Math.min(86400, seconds)) / 10, sure,
  }));
  const now = new Date(), two = (number) => String(number).padStart(2, "0");
  const day = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  return JSON.stringify({ again, answers: rows, day, format: "fracturelib reading 2", reading });
}
