// The sheet: strokes or a picture in, requests out. No library, nothing from another host, no inline style or script.

import { describe, isServed, part, show, tell } from "./answer.js";

const PEN = 0.07; // a line's width, of the canvas: a digit 0.65 high then gets 2.2 of its 20 pixels, MNIST's median
const SIDE = 280; // of the PNG that is sent: ten pixels for each of the network's, so that there is something to average
const STEP = 0.02; // of the canvas, for one press of an arrow
const PAUSE = 60; // ms from an answer to the next request: as often as an eye can follow, and no flood
const AGAIN = 2_000; // ms, where the server doesn't say when to ask again
const PATIENCE = 40_000; // ms for one answer: the server gives a photograph on a slow line 30 s to come
const KINDS = ["image/png", "image/jpeg", "image/webp"];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const canvas = part("canvas");
const picture = part("picture");
const held = new Set(); // arrow keys
let sheet = { strokes: [] }; // points 0…1 of the canvas, for any size and colour; or a file, and no strokes
let pointer = null; // the id of the mouse, pen or finger that is drawing
let pen = null; // the keyboard's: {x, y, down}
let unread = false; // whether the sheet has changed since it was sent
let asking = false;
let frame = 0;
let later; // the timer of the next look at what is served

// What is on it, and how it looks.

const isBlank = () => !sheet.file && !sheet.strokes.length;

function renew(content) {
  sheet = { strokes: [], ...content }; // an answer to the one before it is dropped
  pointer = pen = null;
  URL.revokeObjectURL(picture.src);
  picture.hidden = true; // until it is there; one that the browser can't show is still sent: the server says why
  if (sheet.file) Object.assign(picture, { src: URL.createObjectURL(sheet.file), alt: `The picture: ${sheet.file.name}` });
  show(null);
  tell("problem", "");
  changed();
}

function changed() {
  unread = true;
  repaint();
  ask();
}

function begin(point) {
  if (sheet.file) renew();
  sheet.strokes.push([point]);
  changed();
}

function extend(points) {
  sheet.strokes.at(-1).push(...points);
  changed();
}

function undo() {
  sheet.strokes.pop();
  pointer = pen = null; // a line that is being drawn ends here
  if (sheet.strokes.length) changed();
  else renew();
}

/** Take a file as it is, whatever its size: what training made of such a picture, the server makes of its bytes. */
function choose(file) {
  if (KINDS.includes(file.type)) renew({ file });
  else tell("problem", "this file is no PNG, JPEG or WebP image: choose one that is, or save it as one");
}

function paint(context, side, ink) {
  Object.assign(context, { strokeStyle: ink, lineWidth: PEN * side, lineCap: "round", lineJoin: "round" });
  for (const points of sheet.strokes) {
    const at = points.map(([x, y]) => [x * side, y * side]);
    context.beginPath();
    context.moveTo(...at[0]);
    // Curves through the middles between the points, bent towards the points: a quick hand leaves only few of them.
    for (let i = 1; i < at.length; i += 1) {
      context.quadraticCurveTo(...at[i - 1], (at[i - 1][0] + at[i][0]) / 2, (at[i - 1][1] + at[i][1]) / 2);
    }
    const [x, y] = at.at(-1);
    context.lineTo(x + 0.01, y); // a line of no length would not be painted, and a tap is a dot
    context.stroke();
  }
}

function repaint() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    const side = Math.round(canvas.clientWidth * devicePixelRatio);
    const context = canvas.getContext("2d");
    canvas.width = canvas.height = side; // clears it, too
    paint(context, side, getComputedStyle(canvas).color);
    if (pen) {
      context.lineWidth = 2 * devicePixelRatio;
      context.beginPath();
      context.arc(pen.x * side, pen.y * side, (PEN * side) / 2 + context.lineWidth, 0, 7);
      context.stroke();
    }
    part("hint").hidden = !isBlank() || pen !== null;
  });
}

// The server: one request at a time, always with the newest state.

/** Describe the model that is served now. If it is another one, ask it; a drawing is dropped if it takes pictures. */
async function follow() {
  try {
    if (!(await describe())) return;
  } catch {
    tell("notice", "the server does not say what it serves; the page goes on asking");
    clearTimeout(later);
    later = setTimeout(follow, AGAIN);
    return;
  }
  if (sheet.strokes.length && document.body.dataset.kind !== "ink") renew();
  else changed();
}

async function ask() {
  if (asking) return;
  asking = true;
  part("answer").ariaBusy = "true";
  while (unread && !isBlank()) {
    unread = false;
    const again = await predict(sheet);
    unread ||= again > 0;
    await new Promise((done) => setTimeout(done, again || PAUSE));
  }
  asking = false;
  part("answer").ariaBusy = "false";
}

/** Ask once, and show the answer. Returns in how many ms to ask the same again; 0: not at all. */
async function predict(asked) {
  let response, answer;
  try {
    const body = asked.file ?? (await drawing());
    response = await fetch("predict", { method: "POST", body, signal: AbortSignal.timeout(PATIENCE) });
    answer = await response.json();
  } catch {
    answer = { error: "the server does not answer; the page goes on trying" };
  }
  // The alias may have been moved to another version, which takes something else or knows other classes.
  if (response?.status === 400 || (response?.ok && !isServed(answer))) await follow();
  if (response?.ok && !isServed(answer)) return AGAIN;
  if (asked === sheet) {
    // An answer that stayed beside an error would be another drawing's. It is read out when the line is finished.
    show(response?.ok ? answer : null, pointer === null && !pen?.down);
    tell("problem", answer.error ?? "");
  }
  if (response && response.status < 500 && ![408, 429].includes(response.status)) return 0; // it is as good as it gets
  return Math.min(1000 * response?.headers.get("Retry-After") || AGAIN, 5 * AGAIN);
}

function drawing() {
  const paper = new OffscreenCanvas(SIDE, SIDE);
  const context = paper.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, SIDE, SIDE);
  paint(context, SIDE, "black");
  return paper.convertToBlob({ type: "image/png" });
}

// What people do.

function place({ clientX, clientY }) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  return [(clientX - left) / width, (clientY - top) / height];
}

canvas.addEventListener("pointerdown", (event) => {
  if (pointer !== null || event.button !== 0) return; // one finger draws; the palm that comes after it doesn't
  begin(place(event));
  [pointer, pen] = [event.pointerId, null];
  canvas.setPointerCapture(pointer);
});

canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer) return;
  // Browsers report once a frame; the points between are in here, where the page's origin is a secure one.
  const events = event.getCoalescedEvents?.() ?? [];
  extend((events.length ? events : [event]).map(place));
});

for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    changed(); // so that the finished line is read once more, and read out
  });
}

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key === " " || event.key in ARROWS)) return;
  event.preventDefault(); // or the page would scroll
  let { x, y, down } = pen ?? { x: 0.5, y: 0.5, down: false };
  if (event.key === " ") {
    if (event.repeat) return;
    down = !down;
    if (down) begin([x, y]);
    else changed();
  } else {
    held.add(event.key); // two arrows held together move it askew
    for (const key of held) [x, y] = [x + STEP * ARROWS[key][0], y + STEP * ARROWS[key][1]];
    [x, y] = [x, y].map((value) => Math.min(Math.max(value, 0), 1));
    if (down) extend([[x, y]]);
    else repaint();
  }
  pen = { x, y, down };
  if (down) tell("announcement", "Pen down");
});

canvas.addEventListener("keyup", ({ key }) => held.delete(key));
canvas.addEventListener("blur", () => held.clear());

document.addEventListener("keydown", ({ key, ctrlKey, metaKey }) => {
  if (key === "Escape" || key === "Delete") renew();
  else if (key === "z" && (ctrlKey || metaKey)) undo();
});

part("clear").addEventListener("click", () => renew());
part("undo").addEventListener("click", undo);

for (const id of ["file", "camera"]) {
  part(id).addEventListener("change", ({ target }) => {
    if (target.files.length) choose(target.files[0]);
    target.value = ""; // so that the same file can be chosen again
  });
}

picture.addEventListener("load", () => {
  picture.style.setProperty("--aspect", picture.naturalWidth / picture.naturalHeight);
  picture.hidden = !sheet.file; // it may have been cleared meanwhile
});

document.addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData.files.length) choose(clipboardData.files[0]);
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // or the browser would open the file in the page's place
    document.body.classList.toggle("dropping", kind === "dragover");
    if (event.dataTransfer.files.length && kind === "drop") choose(event.dataTransfer.files[0]);
  });
}

new ResizeObserver(repaint).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
document.addEventListener("visibilitychange", () => document.hidden || follow()); // the page may have been left for days
follow();
