// The operating point under the finger: threshold, prevalence and costs move; counts, rates and figures follow.
//
// mountOperatingPoint(root, data) fills an element. data: {cells, threshold, prevalence, miss, unit, parts, marks}:
// cells as in counting.js; `unit` names what was tested; `parts` are figures of FIGURES in their order; `choose` marks
// the cheapest threshold, which only validation images may do.

import {
  PATIENTS, cheapest, costs, makeCells, naturalFrequencies, operatingPoint, reliability, rocPoints,
} from "./counting.js";
import { across, down, element, pathOf, percent, plot, shape } from "./drawing.js";

const COSTS = [0.5, 1, 2, 5, 10, 20, 50, 100];
const QUIET = 400; // milliseconds without a move before a screen reader is told

/** A thousand squares, one for each patient, in four kinds. */
function patientsFigure() {
  const columns = 40, rows = PATIENTS / columns, step = 6;
  const svg = shape("svg", { viewBox: `-1 -1 ${columns * step + 1} ${rows * step + 1}`, role: "img", class: "fl-patients" });
  const kinds = ["found", "missed", "cleared", "alarmed"];
  const paths = Object.fromEntries(kinds.map((kind) => [kind, shape("path", { class: `fl-${kind}` })]));
  svg.append(...Object.values(paths));
  const update = ({ frequencies }) => {
    let place = 0;
    for (const kind of kinds) {
      const parts = [];
      for (const end = place + frequencies[kind]; place < end; place += 1) {
        parts.push(`M${Math.floor(place / rows) * step} ${(place % rows) * step}h4.4v4.4h-4.4z`);
      }
      paths[kind].setAttribute("d", parts.join(""));
    }
    const { found, missed, alarmed, cleared } = frequencies;
    svg.setAttribute("aria-label", `${found} found, ${missed} missed, ${alarmed} false alarms, ${cleared} left alone`);
  };
  const caption = element("figcaption", {}, "1,000 patients, one square each");
  return { figure: element("figure", {}, caption, svg, frequencyTable()), update };
}

/** The confusion matrix in natural frequencies, which is the legend of the squares. */
function frequencyTable() {
  const cell = (kind, text) => element("td", {},
    element("span", { class: `fl-key fl-${kind}`, "aria-hidden": "true" }),
    element("b", { "data-count": kind }), ` ${text}`);
  const head = element("tr", {}, element("td"),
    element("th", { scope: "col" }, "called fractured"), element("th", { scope: "col" }, "called not"));
  const row = (name, kind, ...cells) => element("tr", {},
    element("th", { scope: "row" }, element("b", { "data-count": kind }), ` ${name}`), ...cells);
  return element("table", {}, element("tbody", {}, head,
    row("fractured", "broken", cell("found", "found"), cell("missed", "missed")),
    row("not", "whole", cell("alarmed", "false alarms"), cell("cleared", "left alone"))));
}

/** Files by probability: the fractured upwards, the others downwards; right of the line all are called fractured. */
function histogramFigure(cells) {
  const bins = 20, up = Array(bins).fill(0), below = Array(bins).fill(0);
  cells.probability.forEach((chance, index) => {
    const place = Math.min(bins - 1, Math.floor(chance * bins));
    up[place] += cells.fractured[index];
    below[place] += cells.healthy[index];
  });
  const most = Math.max(...up, ...below);
  const { figure, svg } = plot("Where the line is drawn", "P(fractured)", "files", { yTicks: [] });
  const bar = (kind, place, count) => shape("rect", {
    class: kind, x: across(place / bins) + 0.5, width: across(1 / bins) - across(0) - 1,
    y: kind === "fl-found" ? down(0.5 + 0.46 * (count / most)) : down(0.5), height: down(0) - down(0.46 * (count / most)),
  });
  up.forEach((count, place) => svg.append(bar("fl-found", place, count)));
  below.forEach((count, place) => svg.append(bar("fl-alarmed", place, count)));
  svg.append(shape("text", { x: across(0) + 4, y: down(0.5) - 48, class: "fl-broken-text" }, "fractured"));
  svg.append(shape("text", { x: across(1) - 2, y: down(0.5) + 54, "text-anchor": "end", class: "fl-whole-text" }, "not fractured"));
  const line = shape("path", { class: "fl-line" });
  svg.append(line);
  return { figure, update: ({ threshold }) => line.setAttribute("d", `M${across(threshold)} ${down(1)}V${down(0)}`) };
}

function rocFigure(cells, { marks }) {
  const { figure, svg } = plot("ROC curve", "false alarms (1 − specificity)", "sensitivity");
  svg.append(shape("path", { class: "fl-chance", d: pathOf([[across(0), down(0)], [across(1), down(1)]]) }));
  svg.append(shape("path", { class: "fl-curve", d: pathOf(rocPoints(cells).map(([x, y]) => [across(x), down(y)])) }));
  for (const { threshold } of marks) {
    const { sensitivity, specificity } = operatingPoint(cells, { threshold, prevalence: 0.5 });
    svg.append(shape("circle", { class: "fl-mark", r: 6.5, cx: across(1 - specificity), cy: down(sensitivity) }));
  }
  const dot = shape("circle", { class: "fl-dot", r: 5 });
  svg.append(dot);
  return { figure, update: ({ point }) => {
    dot.setAttribute("cx", across(1 - point.specificity));
    dot.setAttribute("cy", down(point.sensitivity));
    svg.setAttribute("aria-label", `ROC curve; sensitivity ${percent(point.sensitivity)}, specificity ${percent(point.specificity)}`);
  } };
}

function reliabilityFigure(cells) {
  const { figure, svg } = plot("When it says 70 %, is it 70 %?", "P(fractured), mean of a bin", "share fractured");
  svg.append(shape("path", { class: "fl-chance", d: pathOf([[across(0), down(0)], [across(1), down(1)]]) }));
  const group = shape("g");
  svg.append(group);
  return { figure, update: ({ prevalence }) => group.replaceChildren(...reliability(cells, prevalence).map(({ n, mean, share }) => {
    const made = shape("circle", { class: "fl-bin", r: 3.5 + Math.min(5, Math.sqrt(n) / 4), cx: across(mean), cy: down(share) });
    made.dataset.mean = mean;
    made.dataset.share = share;
    return made;
  })) };
}

/** The bill of every threshold: misses, false alarms and both; dashed the cheapest, dotted the marks. */
function costFigure(cells, { choose, marks }) {
  const { figure, svg } = plot("What the errors cost", "threshold", "cost per 1,000", { yTicks: [] });
  const upright = (threshold) => `M${across(threshold)} ${down(1)}V${down(0)}`;
  for (const { threshold } of marks) svg.append(shape("path", { class: "fl-dotted", d: upright(threshold) }));
  const top = shape("text", { x: across(0) - 5, y: down(1) + 8, "text-anchor": "end" });
  const lines = ["fl-misses", "fl-alarms", "fl-curve"].map((kind) => shape("path", { class: kind }));
  const best = shape("path", { class: "fl-dashed" }), name = shape("text", { y: down(1) + 8 }), dot = shape("circle", { class: "fl-dot", r: 5 });
  svg.append(top, shape("text", { x: across(0) - 5, y: down(0) + 4, "text-anchor": "end" }, "0"), ...(choose ? [best, name] : []), ...lines, dot);
  const legend = element("p", { class: "fl-legend" }, ...[["fl-found", "misses"], ["fl-alarmed", "false alarms"]]
    .flatMap(([kind, words]) => [element("span", { class: `fl-key ${kind}`, "aria-hidden": "true" }), ` ${words}  `]), "line: both");
  figure.append(legend);
  return { figure, update: ({ threshold, prevalence, miss, point, costed }) => {
    const end = (at) => {
      const { cost, costOfMisses } = operatingPoint(cells, { threshold: at, prevalence, miss });
      return [at, cost, costOfMisses];
    };
    const all = [end(0), ...costed, end(1)], most = Math.max(...all.map(([, cost]) => cost));
    const draw = (values) => pathOf(all.map((one, place) => [across(one[0]), down(values[place] / most)]));
    const parts = [all.map((one) => one[2]), all.map((one) => one[1] - one[2]), all.map((one) => one[1])];
    lines.forEach((line, place) => line.setAttribute("d", draw(parts[place])));
    top.textContent = Math.round(most);
    dot.setAttribute("cx", across(threshold));
    dot.setAttribute("cy", down(point.cost / most));
    svg.setAttribute("aria-label", `Cost per 1,000 patients at the threshold ${threshold.toFixed(2)}: ${Math.round(point.cost)}`);
    if (!choose) return;
    const chosen = cheapest(costed), left = chosen > 0.6;
    best.setAttribute("d", upright(chosen));
    name.textContent = `cheapest: ${chosen.toFixed(2)}`;
    name.setAttribute("x", across(chosen) + (left ? -4 : 4));
    name.setAttribute("text-anchor", left ? "end" : "start");
    svg.dataset.cheapest = chosen;
  } };
}

const FIGURES = {
  patients: patientsFigure, histogram: histogramFigure, roc: rocFigure, reliability: reliabilityFigure, costs: costFigure,
};
const RATES = {
  sensitivity: "sensitivity", specificity: "specificity", accuracy: "accuracy in these files", ppv: "positive predictive value", npv: "negative predictive value",
  cost: "cost per 1,000 patients",
};

/** A labelled slider that speaks its value; `shown` turns the value into words. */
function slide(label, { min, max, value, step, shown, name }) {
  const output = element("output"), input = element("input", { type: "range", min, max, step, name, "aria-label": label });
  input.value = value;
  const say = () => {
    output.textContent = shown(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  say();
  return { row: element("label", { class: "fl-slide" }, element("span", {}, label), output, input), input, say };
}

/** The finest step of the threshold: where files are many, the cells are as fine (see `cells_of`). */
const fine = (value) => Math.round(1000 * value) / 1000;

export function mountOperatingPoint(root, data) {
  const cells = makeCells(data.cells), state = { threshold: data.threshold, prevalence: data.prevalence, miss: data.miss };
  const start = { ...state }, parts = data.parts.map((name) => FIGURES[name](cells, data));
  const sliders = {
    threshold: slide("Threshold", { name: "threshold", min: 0, max: 1, step: 0.01, value: state.threshold, shown: () => state.threshold.toFixed(3) }),
    prevalence: slide("Prevalence", { name: "prevalence", min: 0.01, max: 0.9, step: 0.01, value: state.prevalence, shown: () => percent(state.prevalence, 1) }),
    miss: slide("A miss costs", { name: "miss", min: 0, max: COSTS.length - 1, step: 1, value: nearestCost(state.miss), shown: () => `${state.miss} false alarm${state.miss === 1 ? "" : "s"}` }),
  };
  const reset = element("button", { type: "button" }, "Back to the start");
  const story = element("p", { class: "fl-story" }), live = element("p", { class: "fl-hidden", "aria-live": "polite" });
  const rates = Object.entries(RATES).map(([name, words]) => element("div", {}, element("dt", {}, words), element("dd", { "data-rate": name })));
  root.classList.add("fl-live");
  root.replaceChildren(
    element("div", { class: "fl-controls" }, ...Object.values(sliders).map(({ row }) => row), reset),
    story, element("dl", { class: "fl-rates" }, ...rates), element("div", { class: "fl-figures" }, ...parts.map(({ figure }) => figure)), live,
  );
  let waiting = 0, costed = [], costedFor = "";

  function refresh() {
    const { prevalence, miss } = state;
    if (data.parts.includes("costs") && costedFor !== `${prevalence} ${miss}`) {
      costed = costs(cells, state);
      costedFor = `${prevalence} ${miss}`;
    }
    const point = operatingPoint(cells, state), frequencies = naturalFrequencies(point, prevalence);
    for (const { update } of parts) update({ ...state, point, frequencies, costed });
    for (const place of root.querySelectorAll("[data-count]")) {
      const { broken } = frequencies;
      place.textContent = { broken, whole: PATIENTS - broken, ...frequencies }[place.dataset.count];
    }
    for (const place of root.querySelectorAll("[data-rate]")) {
      const name = place.dataset.rate, value = point[name];
      place.dataset.value = value;
      place.textContent = name === "cost" ? value.toFixed(0) : percent(value);
    }
    story.textContent = toldStory(frequencies);
    clearTimeout(waiting);
    waiting = setTimeout(() => { live.textContent = story.textContent; }, QUIET);
  }

  function toldStory({ broken, found, missed, alarmed }) {
    const others = PATIENTS - broken, calls = found + alarmed;
    const right = calls ? ` ${percent(found / calls)} of the alarms are right.` : "";
    return `Of 1,000 patients ${broken} have a fracture. The model finds ${found} of them and misses ${missed}. ` +
      `Of the ${others} others it alarms ${alarmed} without need.${right}`;
  }

  function set(values) {
    Object.assign(state, values);
    Object.values(sliders).forEach(({ say }) => say());
    refresh();
  }

  sliders.threshold.input.addEventListener("input", (event) => set({ threshold: fine(event.target.value) }));
  sliders.prevalence.input.addEventListener("input", (event) => set({ prevalence: fine(event.target.value) }));
  sliders.miss.input.addEventListener("input", (event) => set({ miss: COSTS[event.target.value] }));
  reset.addEventListener("click", () => {
    sliders.threshold.input.value = start.threshold;
    sliders.prevalence.input.value = start.prevalence;
    sliders.miss.input.value = nearestCost(start.miss);
    set(start);
  });
  refresh();
}

const nearestCost = (miss) => COSTS.reduce((best, cost, index) => (Math.abs(cost - miss) < Math.abs(COSTS[best] - miss) ? index : best), 0);
