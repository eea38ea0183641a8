// "Can you beat the model?": read the cases one by one, then see your reading beside the model's.
import { makeCells, operatingPoint, rocPoints, wilson } from "./counting.js";
import { across, down, element, pathOf, percent, plot, shape } from "./drawing.js";
import { compareReading, readingFile, shareOf, toldCounts, toldResult, toldSureness, toldVerdict } from "./reading.js";
import { heatCanvas, mountViewer } from "./viewer.js";

const content = JSON.parse(document.querySelector("#content").textContent);
const { cases, sureness } = content;
const find = (name) => document.querySelector(name);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const CALLS = { f: 1, n: 0 }, NAMES = ["not fractured", "fractured"];

const viewer = mountViewer(find("#viewer")), large = mountViewer(find("#large"));
let answers = [], called = null, since = 0, number = "", again = false;

function begin() {
  answers = [];
  number = Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
  find("#results").hidden = true;
  find("#reading").hidden = false;
  next();
}

async function next() {
  called = null;
  since = performance.now();
  if (answers.length === cases.length) return showResults();
  say();
  await viewer.show(cases[answers.length].picture, `Radiograph ${answers.length + 1} of ${cases.length}, to be read`);
}

/** Where the reader is, and what is expected now. */
function say(note = "") {
  const question = called === null ? "Is there a fracture?" : `You say: ${NAMES[called]}. How sure are you?`;
  find("#status").textContent = `Picture ${answers.length + 1} of ${cases.length}. ${note || question}`;
  find("#progress").value = answers.length;
  for (const button of document.querySelectorAll("#answers button")) {
    const { key } = button.dataset;
    if (key in CALLS) button.setAttribute("aria-pressed", called === CALLS[key]);
    else button.disabled = key === "b" ? answers.length === 0 && called === null : called === null;
  }
}

/** F and N call, 1 to 3 say how sure and go on, B goes back. */
function press(key) {
  if (key in CALLS) called = CALLS[key];
  else if (key === "b") {
    if (called === null && answers.length) {
      answers.pop();
      return next();
    }
    called = null;
  } else if (called === null) return say("First say whether it is fractured: F or N.");
  else {
    answers.push({ called, sure: Number(key), seconds: (performance.now() - since) / 1000 });
    return next();
  }
  return say();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || find("#reading").hidden) return;
  if ("fn123b".includes(event.key.toLowerCase())) {
    event.preventDefault();
    press(event.key.toLowerCase());
  } else if (!event.target.closest("canvas, summary")) viewer.key(event);
});
find("#answers").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) press(button.dataset.key);
});

function showResults() {
  const compared = compareReading(answers, cases), { short, long } = toldVerdict(compared);
  find("#reading").hidden = true;
  find("#results").hidden = false;
  find("#counts").textContent = toldCounts(compared);
  find("#shares").textContent = `Right: you in ${shareOf(compared.own.right, cases.length)}, the model in ${shareOf(compared.model.right, cases.length)}.`;
  find("#verdict").textContent = short;
  find("#why").textContent = long;
  find("#sureness").textContent = toldSureness(answers, cases, sureness);
  find("#copied").value = toldResult(compared, content.title, content.pictures);
  find("#tables").replaceChildren(countTable("You", compared.own), countTable("The model", compared.model));
  find("#curve").replaceChildren(curveFigure(compared.own));
  showDisagreements();
  find("#results h2").focus();
  scrollTo(0, 0);
}

function countTable(name, { found, missed, alarms, cleared }) {
  const cell = (kind, count, text) => element("td", {}, element("span", { class: `fl-key fl-${kind}`, "aria-hidden": "true" }), element("b", {}, `${count}`), ` ${text}`);
  const row = (title, ...cells) => element("tr", {}, element("th", { scope: "row" }, title), ...cells);
  return element("table", {}, element("caption", {}, name), element("tbody", {},
    row(`${found + missed} fractured`, cell("found", found, "found"), cell("missed", missed, "missed")),
    row(`${alarms + cleared} not`, cell("alarmed", alarms, "false alarms"), cell("cleared", cleared, "left alone"))));
}

/** The model's curve on all its test pictures, its threshold, and the reader's point with 95 % intervals. */
function curveFigure(own) {
  const cells = makeCells(content.model.cells), model = operatingPoint(cells, { threshold: content.threshold, prevalence: 0.5 });
  const { figure, svg } = plot("You and the model’s curve", "false alarms (1 − specificity)", "sensitivity");
  svg.append(shape("path", { class: "fl-chance", d: pathOf([[across(0), down(0)], [across(1), down(1)]]) }));
  svg.append(shape("path", { class: "fl-curve", d: pathOf(rocPoints(cells).map(([x, y]) => [across(x), down(y)])) }));
  svg.append(shape("circle", { class: "fl-dot", r: 5, cx: across(1 - model.specificity), cy: down(model.sensitivity) }));
  const broken = own.found + own.missed, whole = own.alarms + own.cleared, x = across(own.alarms / whole), y = down(own.found / broken);
  const [left, right] = wilson(own.alarms, whole).map(across), [low, high] = wilson(own.found, broken).map(down);
  svg.append(shape("path", { class: "fl-own", d: `M${left} ${y}H${right}M${x} ${low}V${high}` }));
  svg.append(shape("rect", { class: "fl-own", x: x - 5, y: y - 5, width: 10, height: 10 }));
  svg.setAttribute("aria-label", `You: sensitivity ${percent(own.found / broken)}, false alarms ${percent(own.alarms / whole)}. ` +
    `The model at its threshold: ${percent(model.sensitivity)} and ${percent(1 - model.specificity)}.`);
  return figure;
}

function showDisagreements() {
  const parted = cases.map((one, place) => [one, answers[place], place]).filter(([one, answer]) => one.label !== one.called || one.label !== answer.called);
  parted.sort(([one, answer], [other, second]) => (second.called !== other.label) - (answer.called !== one.label));
  find("#apart").hidden = parted.length === 0;
  find("#gallery").replaceChildren(...parted.map(([one, answer, place]) => card(one, answer, place)));
}

function card(one, answer, place) {
  const words = `Picture ${place + 1}. Truth: ${NAMES[one.label]}. You: ${NAMES[answer.called]} (${sureness[answer.sure]}). Model: ${NAMES[one.called]}, P(fractured) ${one.probability.toFixed(2)}.`;
  const frame = element("button", { type: "button", class: "frame", "aria-label": `${words} Enlarge.` }, element("img", { src: one.picture, alt: "" }));
  if (one.heat) {
    const heat = heatCanvas(bytes(one.heat), content.side);
    heat.classList.add("heat");
    frame.append(heat);
  }
  if (one.box) {
    const [x, y, width, height] = one.box, box = shape("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
    box.append(shape("rect", { x, y, width, height }));
    frame.append(box);
  }
  frame.addEventListener("click", () => enlarge(one, words));
  const line = (name, label) => element("li", { class: label === one.label ? "" : "wrong" }, `${name}: ${NAMES[label]}${label === one.label ? "" : "\u00a0✗"}`);
  return element("figure", { class: one.label ? "broken" : "whole" }, frame, element("figcaption", {},
    element("b", {}, `${place + 1}. ${NAMES[one.label]}`),
    element("ul", {}, line("you", answer.called), line("model", one.called), element("li", {}, `P(fractured) ${one.probability.toFixed(2)}`))));
}

async function enlarge(one, words) {
  find("#dialog").showModal();
  await large.show(one.picture, words);
  large.mark({ heat: one.heat && find("#heat").checked ? bytes(one.heat) : null, side: content.side, box: one.box });
}

find("#heat").addEventListener("change", (event) => find("#gallery").classList.toggle("cold", !event.target.checked));
find("#close").addEventListener("click", () => find("#dialog").close());
find("#dialog").addEventListener("keydown", (event) => event.target.tagName !== "CANVAS" && large.key(event));
find("#copy").addEventListener("click", async () => {
  find("#copied").select();
  try {
    await navigator.clipboard.writeText(find("#copied").value);
  } catch {
    document.execCommand("copy"); // a page from a disk may be refused the clipboard
  }
  find("#done").textContent = "Copied.";
});
find("#save").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([`${readingFile(answers, cases, number, again)}\n`], { type: "application/json" }));
  element("a", { href: url, download: `reading-${number.slice(0, 12)}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
  find("#done").textContent = "Saved in your downloads.";
});
find("#again").addEventListener("click", () => {
  again = true; // the answers were seen
  begin();
});
begin();
