// The living part of report.html; without scripts the stills stand in its place.
import { mountOperatingPoint } from "./operating_point.js";

const living = document.querySelector("#operating-point");
mountOperatingPoint(living, JSON.parse(document.querySelector("#operating-point-data").textContent));
living.parentElement.hidden = false;
document.documentElement.classList.add("fl-alive");
