// The panel of a notebook: anywidget calls `render`.
import { mountOperatingPoint } from "./operating_point.js";

export default { render({ model, el }) {
  el.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys from the sliders
  mountOperatingPoint(el, model.get("content"));
} };
