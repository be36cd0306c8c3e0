// Pictures of numbers on one canvas: a tile for each unit, in one colour above 0 and another below.

export const GAP = 3; // CSS pixels between tiles
const STEPS = 255; // of colour, on either side of 0
let colours; // packed, from -STEPS to STEPS

/** Mix the colours of the page's present scheme: paper for 0. */
export function mixColours() {
  const style = getComputedStyle(document.documentElement);
  const [zero, above, below] = ["--paper", "--above", "--below"].map((name) => parse(style.getPropertyValue(name)));
  colours = Uint32Array.from({ length: 2 * STEPS + 1 }, (_, i) => {
    const share = Math.abs(i - STEPS) / STEPS;
    const [red, green, blue] = zero.map((from, k) => Math.round(from + share * ((i < STEPS ? below : above)[k] - from)));
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0; // ImageData's bytes, the lowest first
  });
}

function parse(colour) {
  return [1, 3, 5].map((start) => parseInt(colour.trim().slice(start, start + 2), 16));
}

/** Return the largest distance from 0. */
export function findLimit(values) {
  let limit = 0;
  for (const value of values) limit = Math.max(limit, Math.abs(value));
  return limit || 1;
}

export class Tiles {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  /** Lay out `count` tiles of width × height values, each about `side` pixels wide, in what room there is; the next one
   * begins at least `pitch` pixels after each. */
  lay({ count, width, height, side, room, pitch = 0 }) {
    const scale = Math.max(1, Math.min(Math.round(side / Math.max(width, height)), Math.floor((room - GAP) / width)));
    const [across, down] = [Math.max(pitch, width * scale + GAP), height * scale + GAP];
    const columns = Math.max(1, Math.min(count, Math.floor((room - GAP) / across)));
    Object.assign(this, { count, width, height, scale, across, down, columns });
    this.canvas.width = columns * across + GAP;
    this.canvas.height = Math.ceil(count / columns) * down + GAP;
    this.strip = new OffscreenCanvas(width, height * count);
    this.stripContext = this.strip.getContext("2d");
    this.image = new ImageData(width, height * count);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  /** Draw values, [height][width][count]; `limit` has the strongest colour. `chosen` ({unit, row, column}) is framed. */
  draw(values, limit, chosen) {
    const { count, width, height, scale } = this;
    const factor = STEPS / limit;
    for (let place = 0, i = 0; place < width * height; place += 1) {
      for (let unit = 0; unit < count; unit += 1, i += 1) {
        const step = Math.round(factor * values[i]);
        this.pixels[unit * width * height + place] = colours[STEPS + Math.max(-STEPS, Math.min(STEPS, step))];
      }
    }
    this.stripContext.putImageData(this.image, 0, 0);
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.context.imageSmoothingEnabled = false;
    for (let unit = 0; unit < count; unit += 1) {
      const [x, y] = this.corner(unit);
      this.context.drawImage(this.strip, 0, unit * height, width, height, x, y, width * scale, height * scale);
    }
    if (chosen) this.frame(chosen);
  }

  /** Frame a unit's tile, and where the tile is a map, the place in it. */
  frame({ unit, row, column }) {
    const [x, y] = this.corner(unit);
    this.context.strokeStyle = getComputedStyle(this.canvas).color;
    this.context.lineWidth = 2;
    this.context.strokeRect(x - 1, y - 1, this.across, this.down);
    if (row === undefined) return;
    this.context.lineWidth = 1;
    const side = this.scale;
    this.context.strokeRect(x + column * side + 0.5, y + row * side + 0.5, Math.max(2, side - 1), Math.max(2, side - 1));
  }

  corner(unit) {
    return [GAP + (unit % this.columns) * this.across, GAP + Math.floor(unit / this.columns) * this.down];
  }

  /** Return what is at a point of the window: {unit, row, column}, or null. */
  find({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    const x = ((clientX - box.left) * this.canvas.width) / box.width - GAP;
    const y = ((clientY - box.top) * this.canvas.height) / box.height - GAP;
    const unit = Math.floor(y / this.down) * this.columns + Math.floor(x / this.across);
    if (x < 0 || y < 0 || x >= this.columns * this.across || unit >= this.count) return null;
    const clip = (length, sides) => Math.min(sides - 1, Math.floor(length / this.scale));
    return { unit, row: clip(y % this.down, this.height), column: clip(x % this.across, this.width) };
  }
}
