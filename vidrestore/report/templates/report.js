document.documentElement.classList.add("live");

/* Dividers between before and after. */
for (const slider of document.querySelectorAll(".compare input")) {
  const move = () => {
    slider.parentElement.style.setProperty("--at", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} percent before`);
  };
  slider.addEventListener("input", move);
  move();
}

/* Light and dark. */
const theme = document.getElementById("theme");
const systemDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (systemDark.matches ? "dark" : "light")) === "dark";
const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
});
systemDark.addEventListener("change", nameTheme);
theme.hidden = false;
nameTheme();

/* The timeline: zoom, and bars that arrow keys go through. */
const scroller = document.querySelector(".scroller");
const time = document.querySelector(".time");
const marks = document.querySelector(".marks");
const start = Number(time.dataset.start);
const length = Number(time.dataset.stop) - start;
const MOST_ZOOM = 2 ** Math.max(2, Math.ceil(Math.log2(length / 8)));
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
const PIXELS_PER_MARK = 90;
let zoom = 1;

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const minutes = Math.floor(tenths / 600);
  const rest = `${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

function element(kind, attributes, inside = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = inside;
  return made;
}

function drawMarks() {
  const wanted = length / Math.max(1, (scroller.clientWidth * zoom) / PIXELS_PER_MARK);
  const step = STEPS.find((each) => each >= wanted) ?? STEPS.at(-1);
  const drawn = [];
  for (let number = Math.ceil(start / step); number * step <= start + length; number += 1) {
    const x = `${(100 * (number * step - start)) / length}%`;
    drawn.push(element("line", { x1: x, x2: x, y1: 20, y2: marks.dataset.height }));
    const room = (1 - (number * step - start) / length) * scroller.clientWidth * zoom;
    if (room > 50) drawn.push(element("text", { x, y: 14 }, clock(number * step)));
  }
  marks.replaceChildren(...drawn);
  for (const number of time.querySelectorAll(".bar text")) {
    const room = number.parentElement.querySelector("rect").getBoundingClientRect().width;
    number.style.visibility = room > 10 + 8 * number.textContent.length ? "visible" : "hidden";
  }
}

function setZoom(wanted) {
  const middle = (scroller.scrollLeft + scroller.clientWidth / 2) / scroller.scrollWidth;
  zoom = Math.min(MOST_ZOOM, Math.max(1, wanted));
  time.style.width = `${zoom * 100}%`;
  scroller.scrollLeft = middle * scroller.scrollWidth - scroller.clientWidth / 2;
  document.getElementById("zoom").textContent = `${zoom}×`;
  drawMarks();
}

const ZOOMS = { in: () => zoom * 2, out: () => zoom / 2, fit: () => 1 };
for (const button of document.querySelectorAll("[data-zoom]")) {
  button.addEventListener("click", () => setZoom(ZOOMS[button.dataset.zoom]()));
}
document.querySelector(".zoom").hidden = false;

const reading = document.getElementById("reading");
const lanes = [...time.querySelectorAll(":scope > g[transform]")]
  .map((lane) => [...lane.querySelectorAll(".bar")])
  .filter((lane) => lane.length > 0);
const bars = lanes.flat();
const centre = (bar) => { const box = bar.getBoundingClientRect(); return box.left + box.width / 2; };
const nearest = (lane, bar) => lane?.reduce((a, b) => (Math.abs(centre(b) - centre(bar)) < Math.abs(centre(a) - centre(bar)) ? b : a));

function neighbour(bar, key) {
  const row = lanes.findIndex((lane) => lane.includes(bar));
  const lane = lanes[row];
  const place = lane.indexOf(bar);
  return {
    ArrowLeft: () => lane[place - 1],
    ArrowRight: () => lane[place + 1],
    ArrowUp: () => nearest(lanes[row - 1], bar),
    ArrowDown: () => nearest(lanes[row + 1], bar),
    Home: () => lane[0],
    End: () => lane.at(-1),
  }[key]?.();
}

function enter(bar) {
  for (const each of bars) each.setAttribute("tabindex", each === bar ? "0" : "-1");
  bar.focus();
  bar.scrollIntoView({ block: "nearest", inline: "nearest" });
}

for (const bar of bars) {
  const tell = () => { reading.textContent = bar.getAttribute("aria-label"); };
  bar.setAttribute("tabindex", bar === bars[0] ? "0" : "-1");
  bar.addEventListener("focus", tell);
  bar.addEventListener("pointerenter", tell);
  bar.addEventListener("click", () => enter(bar));
}

scroller.addEventListener("keydown", (event) => {
  const zooms = { "+": "in", "=": "in", "-": "out", 0: "fit" };
  if (event.key in zooms) {
    setZoom(ZOOMS[zooms[event.key]]());
    event.preventDefault();
    return;
  }
  const bar = event.target.closest(".bar");
  const next = bar && neighbour(bar, event.key);
  if (next) {
    enter(next);
    event.preventDefault();
  }
});
addEventListener("resize", drawMarks);
drawMarks();

/* Paper shows what is folded away. */
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
