// The layers: a canvas for each, with a tile for each unit, that can be pointed at and walked through by keys.

import { part } from "./parts.js";
import { findLimit, GAP, Tiles } from "./tiles.js";
import { countUnits, describeLayer, isMap, summarise, titleLayer } from "./words.js";

const SIDE = { map: 56, few: 30, some: 20, many: 12 }; // CSS pixels of a tile
const NARROW = 500; // CSS pixels of room for which maps are smaller
const SMALL = 40;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function chooseSide(layer, room) {
  const count = countUnits(layer);
  if (isMap(layer)) return room < NARROW ? SMALL : SIDE.map;
  return count > 256 ? SIDE.many : count > 64 ? SIDE.some : SIDE.few;
}

export class LayerView {
  #values = null;
  #chosen = null;

  /** `choose` is called with {unit, row, column} and whether by keys, `point` with what is pointed at, or null, `open`
   * where the way to the chosen unit's output is asked for. */
  constructor(layer, place, names, { choose, point, open }) {
    Object.assign(this, { layer, place, names, choose, point, open });
    this.element = part("layer").content.firstElementChild.cloneNode(true);
    const [title, about, canvas, summary] = this.element.children;
    title.textContent = titleLayer(layer, place);
    about.textContent = describeLayer(layer);
    summary.id = `summary-${place}`;
    canvas.ariaLabel = `${title.textContent}. Arrows go from unit to unit, Enter shows how it is computed`;
    canvas.setAttribute("aria-describedby", summary.id);
    Object.assign(this, { canvas, summary, tiles: new Tiles(canvas) });
    canvas.addEventListener("pointermove", (event) => this.point(this.place, this.#keep(this.tiles.find(event))));
    canvas.addEventListener("pointerleave", () => this.point(this.place, null));
    canvas.addEventListener("click", (event) => {
      const found = this.tiles.find(event);
      if (found) this.choose(this.place, this.#keep(found), false);
    });
    canvas.addEventListener("keydown", (event) => this.#type(event));
  }

  /** A unit of a dense layer has no row and column. */
  #keep(found) {
    return found && (isMap(this.layer) ? found : { unit: found.unit });
  }

  lay(room) {
    const [height, width] = isMap(this.layer) ? this.layer.shape : [1, 1];
    this.tiles.lay({ count: countUnits(this.layer), width, height, side: chooseSide(this.layer, room), room });
    this.#layFilters();
    this.draw();
  }

  /** Show what the layer answers, [rows][columns][units], or nothing (null). */
  show(values) {
    this.#values = values;
    this.summary.textContent = values ? summarise(this.layer, values, this.names) : "";
    this.draw();
  }

  /** Show the filters of a convolution over one channel or three, of weights [filter][row][column][channel]. */
  showFilters(weights) {
    this.filters = { weights, tiles: new Tiles(document.createElement("canvas")) };
    const { canvas } = this.filters.tiles;
    Object.assign(canvas, { role: "img", ariaLabel: "The filters of these maps, in the same order" });
    const about = Object.assign(document.createElement("p"), { className: "soft" });
    about.textContent = "Their filters, in the same order:";
    this.summary.after(about, canvas);
    this.#layFilters();
  }

  /** Lay each filter out below its map. */
  #layFilters() {
    if (!this.filters) return;
    const [height, width, channels] = this.layer.kernel;
    const count = countUnits(this.layer);
    const { weights, tiles } = this.filters;
    const { across, columns } = this.tiles;
    tiles.lay({ count, width, height, side: across - 2 * GAP, room: columns * across + GAP, pitch: across });
    const means = new Float32Array(count * height * width); // [row][column][filter], over the channels
    for (let i = 0; i < means.length * channels; i += 1) {
      const [place, filter] = [Math.floor(i / channels) % (height * width), Math.floor(i / (channels * height * width))];
      means[place * count + filter] += weights[i] / channels;
    }
    tiles.draw(means, findLimit(means));
  }

  mark(chosen) {
    this.#chosen = chosen;
    this.draw();
  }

  draw() {
    const values = this.#values ?? new Float32Array(this.layer.shape.reduce((a, b) => a * b));
    this.tiles.draw(values, findLimit(values), this.#chosen);
  }

  /** Return the value of a unit. */
  value({ unit, row = 0, column = 0 }) {
    const [count, width] = [countUnits(this.layer), isMap(this.layer) ? this.layer.shape[1] : 1];
    return this.#values?.[(row * width + column) * count + unit];
  }

  /** Return where a unit's map has its largest value, so that there is something to see. */
  #findPeak(unit) {
    if (!isMap(this.layer)) return { unit };
    const [height, width] = this.layer.shape;
    let best = { unit, row: height >> 1, column: width >> 1 };
    for (let place = 0; place < height * width; place += 1) {
      const at = { unit, row: Math.floor(place / width), column: place % width };
      if (this.value(at) > this.value(best)) best = at;
    }
    return best;
  }

  #type(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const count = countUnits(this.layer);
    const old = this.#chosen ?? this.#findPeak(0);
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (!this.#chosen) this.choose(this.place, old, true);
      this.open();
      return;
    }
    const ends = { Home: 0, End: count - 1 };
    if (!(event.key in ARROWS) && !(event.key in ends)) return;
    event.preventDefault(); // or the page would scroll
    const [across, down] = ARROWS[event.key] ?? [0, 0];
    if (event.shiftKey && isMap(this.layer)) {
      const [height, width] = this.layer.shape;
      const clip = (value, length) => Math.min(length - 1, Math.max(0, value));
      const at = { ...old, row: clip(old.row + down, height), column: clip(old.column + across, width) };
      this.choose(this.place, at, true);
      return;
    }
    const unit = ends[event.key] ?? (this.#chosen ? old.unit + across + down * this.tiles.columns : 0);
    if (unit >= 0 && unit < count) this.choose(this.place, this.#findPeak(unit), true);
  }
}
