// The sheet: strokes or a picture in, requests out. No library, nothing from another host, no inline style or script.

import { describe, isServed, show } from "./answer.js";
import { Pad } from "./pad.js";
import { AGAIN, explain, findPause, isFinal, PATIENCE, part, tell } from "./parts.js";

const PAUSE = 60; // ms from an answer to the next request: as often as an eye can follow, and no flood
const KINDS = ["image/png", "image/jpeg", "image/webp"];

const picture = part("picture");
const pad = new Pad(part("canvas"), {
  begin: () => sheet.file && renew(),
  change: changed,
  announce: (words) => tell("announcement", words),
  paint: () => (part("hint").hidden = !isBlank() || pad.hasPen),
});
let sheet = {}; // what is on it: {file}, or the drawing; another one after each clearing
let unread = false; // whether the sheet has changed since it was sent
let asking = false;
let later; // the timer of the next look at what is served

// What is on it, and how it looks.

const isBlank = () => !sheet.file && !pad.strokes.length;

function renew(content) {
  sheet = { ...content }; // an answer to the one before it is dropped
  pad.clear();
  URL.revokeObjectURL(picture.src);
  picture.hidden = true; // until it is there; one that the browser can't show is still sent: the server says why
  if (sheet.file) Object.assign(picture, { src: URL.createObjectURL(sheet.file), alt: `The picture: ${sheet.file.name}` });
  show(null);
  tell("problem", "");
  changed();
}

function changed() {
  unread = true;
  pad.repaint();
  ask();
}

function undo() {
  pad.undo();
  if (pad.strokes.length) changed();
  else renew();
}

/** Take a file as it is, whatever its size: what training made of such a picture, the server makes of its bytes. */
function choose(file) {
  if (KINDS.includes(file.type)) renew({ file });
  else tell("problem", "this file is no PNG, JPEG or WebP image: choose one that is, or save it as one");
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
  if (pad.strokes.length && document.body.dataset.kind !== "ink") renew();
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
    const body = asked.file ?? (await pad.picture());
    response = await fetch("predict", { method: "POST", body, signal: AbortSignal.timeout(PATIENCE) });
    answer = await response.json();
    if (!(response.ok ? answer.predictions : answer.error)) throw new Error("a proxy's answer");
  } catch {
    answer = { error: explain(response?.status) };
    if (response?.ok) response = undefined; // a proxy's page, or an answer that was cut short
  }
  // The alias may have been moved to another version, which takes something else or knows other classes.
  if (response?.status === 400 || (response?.ok && !isServed(answer))) await follow();
  if (response?.ok && !isServed(answer)) return AGAIN;
  if (asked === sheet) {
    // An answer that stayed beside an error would be another drawing's. It is read out when the line is finished.
    show(response?.ok ? answer : null, !pad.isDrawing);
    tell("problem", answer.error ?? "");
  }
  if (response?.ok || isFinal(response?.status)) return 0; // it is as good as it gets
  return findPause(response);
}

// What people do.

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

document.addEventListener("visibilitychange", () => document.hidden || follow()); // the page may have been left for days
follow();
