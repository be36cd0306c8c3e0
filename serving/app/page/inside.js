// The page that looks inside: strokes or a picture in, what each layer answers out. Nothing comes from another host.

import { drawInput, setImage, showInput } from "./input.js";
import { LayerView } from "./layers.js";
import { Network } from "./network.js";
import { Outputs } from "./outputs.js";
import { Pad } from "./pad.js";
import { part, percent, report, tell } from "./parts.js";
import { mixColours } from "./tiles.js";
import { openSteps, showUnit } from "./unit.js";
import { describeField, findField, findLikeliest, nameUnit, shapeInputs, short } from "./words.js";

const KINDS = ["image/png", "image/jpeg", "image/webp"];
const FEW = 3; // channels of a first convolution whose filters are pictures
const pad = new Pad(part("canvas"), {
  begin: () => sheet.file && renew(),
  change: changed,
  announce: (words) => tell("announcement", words),
  paint: () => (part("hint").hidden = pad.strokes.length > 0 || pad.hasPen),
});
const [layers, panel] = [part("layers"), part("unit")];
let sheet = {}; // {file} or the drawing; another one after each clearing
let network = null;
let views = [];
let outputs = null;
let answer = null; // {pixels, outputs, probabilities} of the newest image
let chosen = null; // {place, at}: a layer's, and a unit's in it
let [unread, asking] = [false, false];

// What is on the sheet.

function renew(content = {}) {
  sheet = content; // an answer to the one before it is dropped
  pad.clear();
  tell("problem", "");
  show(null);
  changed();
}

function changed() {
  unread = true;
  ask();
}

function take(file) {
  if (KINDS.includes(file.type)) renew({ file });
  else tell("problem", "this file is no PNG, JPEG or WebP image: choose one that is, or save it as one");
}

// The server: one request at a time, always with the newest state.

async function ask() {
  if (asking || !network) return;
  asking = true;
  layers.ariaBusy = "true";
  while (unread && (sheet.file || pad.strokes.length)) {
    unread = false;
    const [asked, by] = [sheet, network];
    try {
      const found = await by.look(sheet.file ?? (await pad.picture()));
      await new Promise(requestAnimationFrame);
      if (asked === sheet && by === network) await answered(found);
    } catch (refusal) {
      if (asked === sheet && by === network) show(null);
      tell("problem", refusal.message);
      unread ||= refusal.again > 0;
      if (refusal.again) await new Promise((done) => setTimeout(done, refusal.again));
    }
  }
  asking = false;
  layers.ariaBusy = "false";
}

async function answered(found) {
  show(found);
  tell("problem", "");
  const [likeliest, probability] = findLikeliest(found.probabilities);
  if (!pad.isDrawing) tell("announcement", `${network.names[likeliest]}, ${percent(probability)}`);
  if (chosen) await workOut();
  if (!pad.isDrawing && !unread) await outputs?.finish();
}

/** Describe a version's layers, the served one's (null) or another's, and lay the page out for it. */
async function open(version) {
  try {
    network = await Network.open(version);
  } catch (refusal) {
    tell("problem", refusal.message);
    if (refusal.again) setTimeout(open, refusal.again, version);
    else if (network) part("versions").value = network.model.version; // which is still shown
    return;
  }
  tell("problem", "");
  const kind = network.isInk ? "ink" : "pictures";
  if (document.body.dataset.kind !== kind) pad.clear();
  document.body.dataset.kind = kind; // which shows the sheet
  layOut();
  changed();
}

// What is shown.

function layOut() {
  const { layers: described, names, model, versions } = network;
  mixColours();
  layers.append(panel);
  panel.hidden = true;
  chosen = answer = null;
  views.forEach((view) => view.element.remove());
  views = described.map((layer, place) => new LayerView(layer, place, names, { choose, point, open: openSteps }));
  layers.append(...views.map((view) => view.element));
  setImage(network.image);
  outputs = views.length ? new Outputs(network, views.at(-1), (at) => choose(views.length - 1, at, false)) : null;
  if (described[0]?.kernel[2] <= FEW) showFilters(views[0]).catch(report);
  part("notice").hidden = views.length > 0;
  const name = model.version === null ? "This model" : `Version ${model.version}`;
  tell("notice", `${name} was registered before model files named their layers: make run registers it again.`);
  part("legend").hidden = !views.length;
  part("choice").hidden = versions.length < 2;
  part("versions").replaceChildren(
    ...versions.map(({ version, preset }) => new Option(`${version}: ${preset}`, version, false, version === model.version)),
  );
  lay();
  show(null);
}

async function showFilters(view) {
  const weights = await network.weights(0);
  if (view === views[0]) view.showFilters(weights);
}

function show(found) {
  answer = found;
  showInput(found?.pixels ?? null);
  views.forEach((view, place) => view.show(found?.outputs[place] ?? null));
  outputs?.show(found);
  const [likeliest, probability] = found ? findLikeliest(found.probabilities) : [];
  tell("label", found ? network.names[likeliest] : "–");
  tell("confidence", found ? percent(probability) : "");
  if (chosen) frame(chosen.place, chosen.at);
  else drawInput(null);
}

/** Frame on the input what a unit sees, and say what it answers. */
function frame(place, at) {
  const view = views[place];
  const seen = findField(view.layer, at, network.image);
  drawInput(seen);
  const value = view.value(at);
  const words = value === undefined ? "" : `${short(value)}; `;
  tell("spot", `${nameUnit(view.layer, at, network.names)}: ${words}${describeField(seen, network.image)}`);
}

function point(place, at) {
  if (at) frame(place, at);
  else if (chosen) frame(chosen.place, chosen.at);
  else (drawInput(null), tell("spot", ""));
}

function choose(place, at, byKeys) {
  chosen = { place, at };
  views.forEach((view, i) => view.mark(i === place ? at : null));
  outputs.mark(place === views.length - 1 ? at : null);
  frame(place, at);
  if (panel.parentElement !== views[place].element) views[place].element.append(panel);
  panel.hidden = false;
  workOut().catch(report);
  if (byKeys) tell("announcement", part("spot").textContent);
}

async function workOut() {
  const [asked, mine] = [answer, chosen];
  const { place, at } = mine;
  const view = views[place];
  const name = nameUnit(view.layer, at, network.names);
  const seen = findField(view.layer, at, network.image);
  const words = describeField(seen, network.image);
  if (!asked) return showUnit(name, `It ${words}. Draw, and its numbers appear.`, seen, null);
  const computed = await network.workOut(asked.pixels, place, at);
  if (asked !== answer || mine !== chosen) return;
  const shape = shapeInputs(view.layer, views[place - 1]?.layer, network.image, computed.inputs.length);
  showUnit(name, `It answers ${short(view.value(at))} and ${words}.`, seen, computed, shape);
}

function lay() {
  const room = layers.clientWidth - 2; // the border
  views.forEach((view) => view.lay(room - 2 * parseFloat(getComputedStyle(view.element).paddingLeft)));
}

// What people do.

part("clear").addEventListener("click", () => renew());
part("undo").addEventListener("click", () => (pad.undo(), pad.strokes.length ? changed() : renew()));
part("file").addEventListener("change", ({ target }) => {
  if (target.files.length) take(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
part("versions").addEventListener("change", ({ target }) => open(target.value));
document.addEventListener("keydown", ({ key }) => key === "Escape" && renew());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (mixColours(), lay()));
new ResizeObserver(lay).observe(layers);
open(null);
