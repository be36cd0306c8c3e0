// The outputs: a button for each class, with its probability and what it takes from the input.

import { part, percent, report, tell } from "./parts.js";
import { findLimit, Tiles } from "./tiles.js";
import { short } from "./words.js";

const SIDE = 56; // CSS pixels of a picture
const MOST = 40; // classes that have a button; of more, the keys of the layer's own canvas reach all
const SHORT = 3; // letters of a name that needs no more room
const AGREE = 5e-4; // of two probabilities that are shown alike
const MEAN =
  "These are the means over several views of the image, or networks; the layers, and the numbers of a unit, are those of the image itself in the first network.";
const WEIGHTS =
  "The pictures are the weights: each output has one for each pixel. Where it is above 0, light speaks for the class; where it is below 0, against it.";
const LOSSES = "What the weighted sum of each output loses where a part of the image is covered";

export class Outputs {
  #wanted = false;
  #answer = null;

  /** `view` is the last layer's, below which they stand; `choose` is called with {unit} of the class that is pressed. */
  constructor(network, view, choose) {
    Object.assign(this, { network, isAlone: network.layers.length === 1 });
    this.list = Object.assign(document.createElement("ol"), { id: "outputs", role: "list" });
    this.list.ariaLabel = "Classes and their probabilities";
    this.list.classList.toggle("named", network.names.some((name) => [...name].length > SHORT));
    this.tiles = network.names.slice(0, MOST).map((name, unit) => this.#addClass(name, () => choose({ unit })));
    view.canvas.hidden = network.names.length <= MOST;
    view.summary.before(this.list);
    const button = Object.assign(document.createElement("button"), { id: "rest", type: "button" });
    button.textContent = "Show what each output rests on";
    button.addEventListener("click", () => {
      this.#wanted = true;
      this.finish().catch(report);
    });
    const words = ["reason", "views"].map((id) => Object.assign(document.createElement("p"), { id }));
    view.element.append(...(this.isAlone ? [] : [button]), ...words);
    if (this.isAlone) this.#showWeights().catch(report);
  }

  #addClass(name, choose) {
    const row = part("output").content.cloneNode(true);
    row.querySelector("b").textContent = name;
    row.querySelector("button").addEventListener("click", choose);
    const canvas = row.querySelector("canvas");
    canvas.hidden = true;
    this.list.append(row);
    return new Tiles(canvas);
  }

  /** Show the probabilities of an answer, or nothing (null). */
  show(answer) {
    this.#answer = answer;
    const values = answer?.probabilities;
    const most = values ? Math.max(...values) : undefined;
    [...this.list.children].forEach((row, unit) => {
      row.querySelector("span").textContent = values ? percent(values[unit]) : "";
      row.style.setProperty("--probability", values?.[unit] ?? 0);
      row.classList.toggle("most", most !== undefined && values[unit] === most);
    });
    const own = answer?.outputs.at(-1);
    const isMean = own && values.some((value, i) => Math.abs(value - own[i]) > AGREE) && this.#hasSoftmax;
    tell("views", isMean ? MEAN : "");
    if (this.isAlone) return;
    this.#picture(null);
    tell("reason", "");
  }

  get #hasSoftmax() {
    return this.network.layers.at(-1).steps.includes("Softmax");
  }

  /** A line is finished: show again what each output rests on, if that was asked for. */
  async finish() {
    const asked = this.#answer;
    if (!this.#wanted || !asked) return;
    const { values, width, height } = await this.network.losses(asked.pixels);
    if (asked !== this.#answer) return;
    const count = this.network.names.length;
    this.#picture((unit) => values.filter((_, i) => i % count === unit), { width, height, count: 1 });
    tell("reason", `${LOSSES}: at most ${short(findLimit(values))}. Where the picture is below 0, it gains.`);
  }

  async #showWeights() {
    const { height, width, channels } = this.network.image;
    const size = height * width * channels;
    const weights = await this.network.weights(0);
    if (!this.list.isConnected) return;
    this.#picture((unit) => weights.subarray(unit * size, (unit + 1) * size), { width, height, count: channels });
    tell("reason", WEIGHTS);
  }

  mark(chosen) {
    [...this.list.querySelectorAll("button")].forEach((button, unit) => {
      button.ariaPressed = String(chosen?.unit === unit);
    });
  }

  /** Show a picture for each class, `values(unit)`: [height][width][count]; or none (null). */
  #picture(values, { width, height, count } = {}) {
    const pictures = this.tiles.map((_, unit) => values?.(unit));
    const limit = values ? Math.max(...pictures.map(findLimit)) : 1;
    this.tiles.forEach((tiles, unit) => {
      tiles.canvas.hidden = !values;
      if (!values) return;
      tiles.lay({ count, width, height, side: SIDE, room: SIDE * count + 20 });
      tiles.draw(pictures[unit], limit);
    });
  }
}
