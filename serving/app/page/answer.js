// The answer: the class, the probabilities, what the network was given, and which model it is.

import { part, percent, tell } from "./parts.js";

const MOST = 10; // classes that are shown with their probabilities
const SHORT = 12; // letters of a name that has room before its bar
const list = part("probabilities");
let served; // the model that the page describes, as /readyz does

/** Whether an answer of /predict is one of the model that the page describes. */
export function isServed({ model, predictions }) {
  return model.version === served?.version && predictions[0].probabilities.length === served.class_names.length;
}

/** Show what that model answered, or nothing (null); `aloud`: to a screen reader, too. */
export function show(answer, aloud = true) {
  const { label = "", confidence, probabilities, pixels, sure, reason } = answer?.predictions[0] ?? {};
  const doubt = sure === false ? `unsure: ${reason}` : ""; // an older model doesn't say whether it is sure
  tell("label", label);
  part("label").style.setProperty("--letters", [...label].length);
  tell("confidence", answer ? percent(confidence) : "");
  tell("doubt", doubt);
  part("reading").classList.toggle("unsure", doubt !== "");
  if (aloud) tell("announcement", answer ? [label, percent(confidence), doubt].filter(Boolean).join(", ") : "");
  if (!served) return;
  showProbabilities(served.class_names, probabilities);
  showPixels(served.image, pixels);
}

/** Show a probability for each class, the likeliest first unless they stand in columns; of many classes the first. */
function showProbabilities(names, probabilities) {
  const order = [...names.keys()];
  if (probabilities && !list.matches(".columns")) order.sort((a, b) => probabilities[b] - probabilities[a]);
  const likeliest = probabilities?.indexOf(Math.max(...probabilities));
  list.hidden = !probabilities && names.length > MOST; // ten of many say nothing before there is an answer
  [...list.children].forEach((row, place) => {
    const i = order[place];
    const [name, , value] = row.children;
    name.textContent = names[i];
    value.textContent = probabilities ? (100 * probabilities[i]).toFixed(1) : "";
    row.style.setProperty("--probability", probabilities?.[i] ?? 0);
    row.classList.toggle("most", i === likeliest);
  });
  const others = probabilities ? order.slice(MOST) : order;
  const rest = others.reduce((sum, i) => sum + (probabilities?.[i] ?? 0), 0);
  part("others").hidden = names.length <= MOST;
  tell("count", probabilities ? `${others.length} others, together ${percent(rest)}` : `It knows ${names.length} classes`);
  // Isolated from each other: a name from right to left would turn the order of its neighbours.
  tell("names", others.map((i) => `\u2068${names[i]}\u2069`).join(" · "));
}

/** Show the bytes that the network was given: base64, a byte per pixel or three. */
function showPixels({ width, height, channels }, pixels) {
  const seen = part("seen").getContext("2d");
  seen.clearRect(0, 0, width, height);
  if (!pixels) return;
  const bytes = Uint8Array.from(atob(pixels), (byte) => byte.charCodeAt(0));
  const image = new ImageData(width, height);
  image.data.forEach((_, i) => (image.data[i] = i % 4 === 3 ? 255 : bytes[channels * (i >> 2) + (i % 4) * (channels === 3)]));
  seen.putImageData(image, 0, 0);
}

/** Describe the served model, as /readyz does. Returns whether it is another one than before; throws if nothing is known. */
export async function describe() {
  const { status, problem, model } = await (await fetch("readyz")).json();
  if (!model) throw new Error("a proxy's answer, or a refusal");
  const isAnother = JSON.stringify(model) !== JSON.stringify(served);
  served = model;
  tell("name", model.name ?? "");
  tell("preset", model.preset ?? "");
  tell("version", [model.version, model.alias].filter(Boolean).join(", "));
  tell("accuracy", model.test_accuracy ? percent(model.test_accuracy, 2) : "");
  tell("notice", problem ?? (status === "ready" ? "" : `the server is not ready: ${status}`));
  if (isAnother) layOut(model);
  return isAnother;
}

/** Make the page one to draw on, or one for pictures, with rows for the classes, and without an answer. */
function layOut({ class_names: names, image }) {
  const symbols = names.every((name) => [...name].length === 1);
  const isShort = names.every((name) => name.length <= SHORT);
  list.className = symbols && names.length <= MOST ? "columns" : isShort ? "bars short" : "bars";
  list.replaceChildren(...names.slice(0, MOST).map(() => part("row").content.cloneNode(true)));
  Object.assign(part("seen"), { width: image.width, height: image.height });
  part("seen").style.setProperty("--width", image.width);
  part("seen").style.setProperty("--height", image.height);
  part("seen").ariaLabel = `The ${image.width} by ${image.height} pixels that the network was given`;
  tell("size", `${image.width} × ${image.height} pixels`);
  tell("symbols", symbols ? `${names[0]}…${names.at(-1)}` : "Draw here");
  show(null, false);
  const kind = image.resize === "ink" ? "ink" : "pictures";
  if (document.body.dataset.kind === kind) return;
  const isFirst = !document.body.dataset.kind;
  const hadFocus = part("sheet").contains(document.activeElement);
  document.body.dataset.kind = kind;
  document.title = document.querySelector("h1").innerText;
  if (isFirst) return;
  tell("announcement", document.title);
  if (hadFocus) part(kind === "ink" ? "canvas" : "file").focus(); // what had it may be hidden now
}
