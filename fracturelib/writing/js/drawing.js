// Elements and plots of a page: small figures in SVG that take the colours of the page's theme (live.css).

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 250, TALL = 206, LEFT = 40, TOP = 8, RIGHT = 8, BOTTOM = 36; // of a plot, in its own units

/** An HTML element with attributes and children; text is never read as markup. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** The same for SVG. */
export function shape(tag, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

/** Let the keys of everything that can have the focus alone: JupyterLab would take arrows and numbers for itself. */
export function keepKeys(root) {
  for (const part of [root, ...root.querySelectorAll("input, button, canvas")]) part.dataset.lmSuppressShortcuts = "true";
}

/** A share in per cent; a dash where it is not a number. */
export const percent = (share, digits = 0) => (Number.isNaN(share) ? "–" : `${(100 * share).toFixed(digits)}\u00a0%`);

/** Places in a plot of the unit square. */
export const across = (share) => LEFT + share * (WIDE - LEFT - RIGHT);
export const down = (share) => TALL - BOTTOM - share * (TALL - TOP - BOTTOM);
export const pathOf = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("");

/** An empty plot of a unit square with named axes; returns its <figure> and its <svg>. */
export function plot(title, xName, yName, { yTicks = [0, 0.5, 1] } = {}) {
  const svg = shape("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": title });
  svg.append(shape("path", { class: "fl-axis", d: `M${LEFT} ${TOP}V${down(0)}H${across(1)}` }));
  for (const tick of [0, 0.5, 1]) {
    svg.append(shape("text", { x: across(tick), y: down(0) + 15, "text-anchor": "middle" }, `${tick}`));
  }
  for (const tick of yTicks) svg.append(shape("text", { x: LEFT - 5, y: down(tick) + 4, "text-anchor": "end" }, `${tick}`));
  svg.append(shape("text", { x: across(0.5), y: TALL - 5, "text-anchor": "middle" }, xName));
  const middle = down(0.5);
  svg.append(shape("text", { x: 11, y: middle, "text-anchor": "middle", transform: `rotate(-90 11 ${middle})` }, yName));
  return { figure: element("figure", {}, element("figcaption", {}, title), svg), svg };
}
