// The viewer in a notebook: anywidget calls `render`; the kernel sends a picture as the bytes of a file.
import { mountViewer } from "./viewer.js";

export default { render({ model, el }) {
  const viewer = mountViewer(el);
  let url = "";
  const refresh = async () => {
    URL.revokeObjectURL(url);
    el.hidden = !model.get("picture").byteLength;
    if (el.hidden) return;
    url = URL.createObjectURL(new Blob([model.get("picture")]));
    await viewer.show(url, model.get("words"));
  };
  el.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves keys alone below this
  el.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const button = el.closest(".fracturelib-panel")?.querySelector(`.fracturelib-key-${CSS.escape(event.key.toLowerCase())}`);
    if (!button) return;
    event.preventDefault();
    event.stopPropagation();
    button.click();
  });
  el.style.height = `${model.get("height")}px`;
  model.on("change:picture", refresh);
  refresh();
  return () => URL.revokeObjectURL(url);
} };
