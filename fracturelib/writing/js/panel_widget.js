// Manners of a notebook's panel: every slider has a name and says its value in words, a new result is announced, the
// panel never jumps to a smaller height, and one that is taller than a projector's page stands beside its controls.
import { mountOpening, nameOpenable } from "./opening.js";

const PAGE_HEIGHT = 599; // pixels of JupyterLab's page at 1280 × 720
const QUIET = 500; // milliseconds without a change before a result is announced
const LONGEST = 300; // letters of an announcement

/** Give a slider's handle the words that a reader sees: its label, and its value as it is written beside it. */
function nameSlider(handle) {
  const slider = handle.closest(".widget-inline-hbox, .widget-inline-vbox"), readout = slider?.querySelector(".widget-readout");
  const name = slider?.querySelector(".widget-label")?.textContent ?? "", value = readout?.textContent ?? "";
  const set = (node, attribute, text) => node && node.getAttribute(attribute) !== text && node.setAttribute(attribute, text);
  set(handle, "aria-label", name);
  set(handle, "aria-valuetext", value);
  set(readout, "role", "textbox");
  set(readout, "aria-label", `${name}, as a number`);
}

/** What a result says: the words that stand for its pictures, and its sentences. */
function spoken(result) {
  const pictures = [...result.querySelectorAll("img")].map((image) => image.alt);
  const sentences = [...result.querySelectorAll(".widget-html-content > div")].filter((part) => !part.querySelector("table")).map((part) => part.textContent);
  return [...new Set([...pictures, ...sentences])].join(". ").slice(0, LONGEST);
}

function mind(panel, live) {
  const result = panel.querySelector(".fracturelib-result");
  let tallest = 0, waiting = 0, said = result ? spoken(result) : "";
  const look = () => {
    panel.querySelectorAll(".noUi-handle").forEach(nameSlider);
    nameOpenable(panel);
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (!result || spoken(result) === said) return;
      said = spoken(result);
      live.textContent = said;
    }, QUIET);
  };
  look();
  new MutationObserver(look).observe(panel, { subtree: true, childList: true, characterData: true, attributeFilter: ["aria-valuenow", "aria-valuetext"] });
  if (!result) return;
  result.style.boxSizing = "border-box";
  new ResizeObserver(() => {
    const parts = result.querySelectorAll(".widget-html-content > *");
    const height = parts.length ? Math.ceil(parts[parts.length - 1].getBoundingClientRect().bottom - result.getBoundingClientRect().top) : 0;
    if (panel.offsetHeight > PAGE_HEIGHT && !panel.classList.contains("fracturelib-beside")) {
      panel.classList.add("fracturelib-beside");
      tallest = 0; // of the narrower result, which this observer sees next
    } else tallest = Math.max(tallest, height);
    result.style.minHeight = `${tallest}px`;
  }).observe(result.querySelector(".widget-html-content") ?? result);
}

export default { render({ model, el }) {
  const live = el.appendChild(document.createElement("p"));
  live.className = "fracturelib-live";
  live.setAttribute("aria-live", "polite");
  const wait = () => {
    const panel = el.closest(".fracturelib-panel");
    if (!panel) return requestAnimationFrame(wait);
    mind(panel, live);
    mountOpening(panel, el, model);
  };
  wait();
} };
