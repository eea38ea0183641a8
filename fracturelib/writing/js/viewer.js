// A viewer for radiographs on a black ground: wheel or pinch zooms at the pointer, drag pans, drag with the right
// button (or in the mode "window") sets the grey window; keys + − arrows [ ] , . 0 do the same.
//
// const viewer = mountViewer(root); viewer.show(url, words); viewer.mark({heat, side, box}); viewer.key(event)

import { element } from "./drawing.js";

const NEAREST = 1, FARTHEST = 24; // zoom, as a multiple of what shows the whole picture
const ZOOM_STEP = 1.25, PAN_STEP = 40, GREY_STEP = 8; // of one key; pixels and grey values
const START = { level: 127.5, width: 255 };

const within = (value, low, high) => Math.min(high, Math.max(low, value));

/** Grey values 0…255 as the window shows them: `level` becomes middle grey, `width` values spread from black to white. */
export function windowTable({ level, width }) {
  return Uint8ClampedArray.from({ length: 256 }, (_, grey) => Math.round(((grey - (level - width / 2)) / width) * 255));
}

/** A heat map (side²) of 0…255 as a canvas, from clear to orange. */
export function heatCanvas(heat, side) {
  const canvas = element("canvas", { width: side, height: side }), context = canvas.getContext("2d");
  const pixels = context.createImageData(side, side);
  heat.forEach((warm, place) => pixels.data.set([255, 80 + 0.5 * warm, 20, 0.55 * warm], 4 * place));
  context.putImageData(pixels, 0, 0);
  return canvas;
}

export function mountViewer(root) {
  const canvas = element("canvas", { tabindex: "0", role: "img", "aria-label": "no radiograph yet" });
  const said = element("p", { class: "fl-view-said", "aria-live": "polite" });
  const tools = element("div", { class: "fl-view-tools", role: "group", "aria-label": "View" });
  root.classList.add("fl-view");
  root.replaceChildren(canvas, tools, said);
  const context = canvas.getContext("2d"), held = new Map(), view = { ...START, zoom: 1, x: 0.5, y: 0.5 };
  let picture = null, greys = null, shaded = null, marks = {}, windowing = false, drawn = false, moved = "", spoken = 0, turn = 0;

  const fit = () => Math.min(canvas.width / picture.width, canvas.height / picture.height);
  const scale = () => fit() * view.zoom;
  const ratio = () => canvas.width / Math.max(1, canvas.clientWidth); // device pixels per pixel of the page

  /** Picture values through the window, kept until the window moves. */
  function shade() {
    const table = windowTable(view), paint = shaded.getContext("2d"), pixels = paint.createImageData(picture.width, picture.height);
    const words = new Uint32Array(pixels.data.buffer);
    for (let place = 0; place < greys.length; place += 1) words[place] = 0xff000000 | (table[greys[place]] * 0x010101);
    paint.putImageData(pixels, 0, 0);
  }

  function draw() {
    drawn = false;
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!picture) return;
    if (moved === "window") shade();
    moved = "";
    const size = scale();
    context.setTransform(size, 0, 0, size, canvas.width / 2 - view.x * picture.width * size, canvas.height / 2 - view.y * picture.height * size);
    context.imageSmoothingEnabled = size < 6;
    context.drawImage(shaded, 0, 0);
    context.imageSmoothingEnabled = true;
    if (marks.heat) context.drawImage(marks.heat, 0, 0, picture.width, picture.height);
    if (marks.box) {
      const [left, top, width, height] = marks.box;
      context.lineWidth = (2 * ratio()) / size;
      context.strokeStyle = "#ff8c3b";
      context.strokeRect(left * picture.width, top * picture.height, width * picture.width, height * picture.height);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  /** Draw with the next frame, and say what is shown when it has come to rest. */
  function refresh(what = "") {
    moved = what || moved;
    if (!drawn) requestAnimationFrame(draw);
    drawn = true;
    root.dataset.view = JSON.stringify(view);
    clearTimeout(spoken);
    spoken = setTimeout(() => {
      const { zoom, level, width } = view;
      const changed = zoom !== 1 || level !== START.level || width !== START.width;
      said.textContent = changed ? `zoom ${zoom.toFixed(1)}, window level ${Math.round(level)}, width ${Math.round(width)}` : "";
    }, 300);
  }

  /** Zoom so that the place under (x, y), in pixels of the page from the canvas' middle, stays where it is. */
  function zoomAt(factor, x = 0, y = 0) {
    if (!picture) return;
    const before = scale(), zoom = within(view.zoom * factor, NEAREST, FARTHEST);
    view.zoom = zoom;
    const gained = ratio() * (1 / before - 1 / scale());
    move(x * gained, y * gained);
  }

  /** Move the middle by pixels of the picture; it stays inside, and a whole picture stays in the middle. */
  function move(x, y) {
    const place = (at, side, seen) => {
      const half = Math.min(0.5, seen / 2 / (side * scale()));
      return within(at, half, 1 - half);
    };
    view.x = place(view.x + x / picture.width, picture.width, canvas.width);
    view.y = place(view.y + y / picture.height, picture.height, canvas.height);
    refresh();
  }

  const pan = (x, y) => picture && move((x * ratio()) / scale(), (y * ratio()) / scale());

  function changeWindow(brighter, wider) {
    view.level = within(view.level - brighter, 0, 255);
    view.width = within(view.width + wider, 8, 510);
    refresh("window");
  }

  function reset() {
    Object.assign(view, START, { zoom: 1, x: 0.5, y: 0.5 });
    refresh("window");
  }

  const KEYS = {
    "+": () => zoomAt(ZOOM_STEP), "=": () => zoomAt(ZOOM_STEP), "-": () => zoomAt(1 / ZOOM_STEP), "0": reset,
    ArrowLeft: () => pan(-PAN_STEP, 0), ArrowRight: () => pan(PAN_STEP, 0), ArrowUp: () => pan(0, -PAN_STEP), ArrowDown: () => pan(0, PAN_STEP),
    "[": () => changeWindow(0, 2 * GREY_STEP), "]": () => changeWindow(0, -2 * GREY_STEP), ",": () => changeWindow(-GREY_STEP, 0), ".": () => changeWindow(GREY_STEP, 0),
  };

  /** What a key does here; true if it does anything. */
  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return false;
    KEYS[event.key]();
    event.preventDefault();
    return true;
  }

  const fromMiddle = (event) => {
    const place = canvas.getBoundingClientRect();
    return [event.clientX - place.left - place.width / 2, event.clientY - place.top - place.height / 2];
  };

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomAt(Math.exp(-within(event.deltaY, -200, 200) / 400), ...fromMiddle(event));
  }, { passive: false });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", reset);
  canvas.addEventListener("keydown", (event) => key(event) && event.stopPropagation());
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => held.delete(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const across = event.clientX - before.clientX, down = event.clientY - before.clientY;
    const other = [...held.values()].find((one) => one.pointerId !== event.pointerId);
    held.set(event.pointerId, event);
    if (other) {
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      zoomAt(apart(event) / Math.max(1, apart(before)), ...fromMiddle(other));
      pan(-across / 2, -down / 2);
    } else if (windowing || event.buttons === 2 || event.shiftKey) changeWindow(-down, across);
    else pan(-across, -down);
  });

  function tool(name, words, act) {
    const made = element("button", { type: "button", title: words, "aria-label": words }, name);
    made.addEventListener("click", act);
    tools.append(made);
    return made;
  }
  tool("−", "Zoom out (−)", () => zoomAt(1 / ZOOM_STEP));
  tool("+", "Zoom in (+)", () => zoomAt(ZOOM_STEP));
  const mode = tool("◐", "Window by drag: across sets contrast, up and down brightness", () => {
    windowing = !windowing;
    mode.setAttribute("aria-pressed", windowing);
  });
  mode.setAttribute("aria-pressed", "false");
  tool("Reset", "Whole picture, all greys (0)", reset);

  new ResizeObserver(() => {
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * devicePixelRatio));
    refresh();
  }).observe(canvas);

  /** Show the picture behind a URL; `words` stand for it. Marks of the one before are gone. */
  async function show(url, words) {
    const image = new Image();
    image.src = url;
    canvas.setAttribute("aria-label", words);
    const mine = (turn += 1);
    await image.decode();
    if (mine !== turn) return; // another picture was asked for meanwhile
    shaded = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
    const paint = shaded.getContext("2d", { willReadFrequently: true });
    paint.drawImage(image, 0, 0);
    const colours = new Uint32Array(paint.getImageData(0, 0, shaded.width, shaded.height).data.buffer);
    greys = Uint8Array.from(colours, (colour) => colour & 255);
    [picture, marks] = [{ width: shaded.width, height: shaded.height }, {}];
    reset();
  }

  /** Lay a heat map of 0…255 (side²) over the picture, and outline a box (left, top, width, height as shares). */
  function mark({ heat = null, side = 0, box = null }) {
    marks = { heat: heat && heatCanvas(heat, side), box };
    refresh();
  }

  return { show, mark, key, reset, canvas };
}
