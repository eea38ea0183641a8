// The viewer in a notebook: anywidget calls `render`; the kernel sends a picture as the bytes of a file.
import { keepKeys } from "./drawing.js";
import { mountViewer } from "./viewer.js";

export default { render({ model, el }) {
  const screen = el.appendChild(document.createElement("div")); // the height of `el` itself belongs to its layout
  const viewer = mountViewer(screen);
  const refresh = async () => {
    screen.hidden = !model.get("picture").byteLength;
    if (screen.hidden) return;
    const url = URL.createObjectURL(new Blob([model.get("picture")]));
    await viewer.show(url, model.get("words"));
    URL.revokeObjectURL(url);
  };
  keepKeys(el);
  const listen = () => {
    const panel = el.closest(".fracturelib-panel");
    if (!panel) return requestAnimationFrame(listen);
    // The whole panel has the keys: whoever has just clicked a button need not click the picture again.
    panel.dataset.lmSuppressShortcuts = "true";
    panel.addEventListener("keydown", (event) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      const button = panel.querySelector(`.fracturelib-key-${CSS.escape(event.key.toLowerCase())}`);
      if (!button) return;
      event.preventDefault();
      event.stopPropagation();
      button.click();
    });
  };
  listen();
  screen.style.height = `${model.get("height")}px`;
  model.on("change:picture", refresh);
  refresh();
} };
