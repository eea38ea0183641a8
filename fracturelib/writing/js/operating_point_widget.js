// The panel of a notebook: anywidget calls `render`.
import { keepKeys } from "./drawing.js";
import { mountOperatingPoint } from "./operating_point.js";

export default { render({ model, el }) {
  mountOperatingPoint(el, model.get("content"));
  keepKeys(el);
} };
