// A click on a radiograph in a panel's figure opens it in the viewer, with all its pixels, which the kernel sends.
import { element, keepKeys } from "./drawing.js";
import { mountViewer } from "./viewer.js";

const HINT = "Click a radiograph, or press Enter, to open it";

/** Figures with radiographs can be clicked, and reached and opened by keyboard. */
export function nameOpenable(panel) {
  for (const image of panel.querySelectorAll("img[data-radiographs]:not([tabindex])")) {
    image.tabIndex = 0;
    image.title = HINT;
    image.dataset.lmSuppressShortcuts = "true"; // Enter is JupyterLab's, too
  }
}

export function mountOpening(panel, el, model) {
  const words = element("p"), screen = element("div", { class: "fl-open-screen" });
  const button = (name, act) => {
    const made = element("button", { type: "button" }, name);
    made.addEventListener("click", act);
    return made;
  };
  const head = element("div", { class: "fl-open-head" }, words,
    button("Previous", () => step(-1)), button("Next", () => step(1)), button("Close", () => dialog.close()));
  const dialog = el.appendChild(element("dialog", { class: "fl-open", "aria-label": "Radiograph" }, head, screen));
  let viewer = null, open = null;

  const step = (by) => model.send({ area: open.area, image: open.image, number: (open.number + by + open.count) % open.count });

  /** Ask for the radiograph of a figure at shares of its width and height, or for its first one. */
  function ask(image, where) {
    const areas = [...panel.children].filter((part) => part.matches(".fracturelib-result"));
    const area = areas.findIndex((part) => part.contains(image));
    if (area >= 0) model.send({ area, image: [...areas[area].querySelectorAll("img")].indexOf(image), ...where });
  }

  panel.addEventListener("click", (event) => {
    const image = event.target.closest("img[data-radiographs]");
    if (!image) return;
    const place = image.getBoundingClientRect();
    ask(image, { x: (event.clientX - place.left) / place.width, y: (event.clientY - place.top) / place.height });
  });
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches("img[data-radiographs]")) return;
    event.preventDefault();
    event.stopPropagation();
    ask(event.target, { number: 0 });
  });
  model.on("msg:custom", async (content, [bytes]) => {
    open = content;
    viewer ??= mountViewer(screen);
    keepKeys(dialog);
    words.textContent = content.count > 1 ? `${content.words} (${content.number + 1} of ${content.count})` : content.words;
    if (!dialog.open) dialog.showModal();
    const url = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    await viewer.show(url, content.words);
    viewer.mark({ box: content.box });
    URL.revokeObjectURL(url);
  });
}
