// What the page asks the server: the layers, and what they answer to an image.

import { explain, findPause, isFinal, PATIENCE } from "./parts.js";

const RAW = { "Content-Type": "application/octet-stream" };

/** An answer that is no success; `again`: in how many ms the same may be asked again, 0 for not at all. */
export class Refusal extends Error {
  constructor(sentence, status, again) {
    super(sentence);
    Object.assign(this, { status, again });
  }
}

export class Network {
  /** Ask which layers a version has (null: the one that is served); a Refusal if there is no such version. */
  static async open(version) {
    const query = version === null ? "" : `?version=${encodeURIComponent(version)}`;
    const found = await (await request(`inside/layers${query}`)).json();
    return Object.assign(new Network(), found);
  }

  get names() {
    return this.model.class_names;
  }

  get image() {
    return this.model.image;
  }

  get isInk() {
    return this.image.resize === "ink";
  }

  /** Return {pixels, outputs, probabilities} for an image file, the outputs one after the other. */
  async look(file) {
    const { height, width, channels } = this.image;
    const sizes = this.layers.map((layer) => layer.shape.reduce((a, b) => a * b));
    const parts = await this.#floats("activations", { body: file }, [height * width * channels, ...sizes, this.names.length]);
    return { pixels: parts[0], outputs: parts.slice(1, -1), probabilities: parts.at(-1) };
  }

  /** Return what one unit's output comes from. */
  async workOut(pixels, layer, { unit, row, column }) {
    const at = row === undefined ? {} : { row, column };
    const response = await request(this.#path("unit", { layer, unit, ...at }), send(pixels));
    return response.json();
  }

  /** Return what each probability loses under a cover, [row][column][class], and its sides. */
  async losses(pixels) {
    const values = await this.#floats("losses", send(pixels));
    const side = Math.sqrt(values.length / this.names.length);
    return { values, width: side, height: side };
  }

  /** Return all weights of a layer, [unit][input]; its biases after them. */
  weights(layer) {
    return this.#floats("weights", {}, undefined, { layer });
  }

  async #floats(name, options, sizes, query) {
    const values = new Float32Array(await (await request(this.#path(name, query), options)).arrayBuffer());
    if (!sizes) return values;
    if (values.length !== sizes.reduce((a, b) => a + b)) throw new Refusal("the model has changed: reload the page", 409, 0);
    let start = 0;
    return sizes.map((size) => values.subarray(start, (start += size)));
  }

  #path(name, query = {}) {
    const version = this.model.version === null ? {} : { version: this.model.version };
    return `inside/${name}?${new URLSearchParams({ ...query, ...version })}`;
  }
}

function send(pixels) {
  return { body: Uint8Array.from(pixels), headers: RAW };
}

async function request(path, { body, headers } = {}) {
  let response;
  try {
    const method = body ? "POST" : "GET";
    response = await fetch(path, { method, body, headers, signal: AbortSignal.timeout(PATIENCE) });
  } catch {
    throw new Refusal(explain(), 0, findPause());
  }
  const { status } = response;
  if (response.ok && !response.headers.get("Content-Type")?.startsWith("text/")) return response; // text: a proxy's page
  const { error } = await response.json().catch(() => ({ error: explain(status) }));
  throw new Refusal(error, status, isFinal(status) ? 0 : findPause(response));
}
