// How layers, units and numbers are put into words.

const OPERATORS = { Relu: "ReLU", MaxPool: "max-pooling", Mul: "scaling", Add: "shift", Sub: "shift", Div: "scaling" };

export const isMap = (layer) => layer.shape.length === 3;
export const countUnits = (layer) => layer.shape.at(-1);

/** Write a number short, with a true minus. */
export function short(value) {
  if (!value) return "0";
  const size = Math.abs(value);
  const text = size >= 1000 || size < 0.001 ? size.toExponential(2) : size.toPrecision(3);
  return (value < 0 ? "−" : "") + text;
}

export function nameOperator(operator) {
  return OPERATORS[operator] ?? operator.toLowerCase();
}

export function titleLayer(layer, place) {
  const units = countUnits(layer).toLocaleString("en");
  if (layer.kind === "convolution") {
    const [height, width] = layer.kernel;
    return `${place + 1}. Convolution: ${units} filters of ${height} × ${width}`;
  }
  return `${place + 1}. ${layer.kind === "dense" ? "Dense layer" : "Output layer"}: ${units} units`;
}

export function describeLayer(layer) {
  const steps = layer.steps.map(nameOperator).join(", ");
  const after = steps ? `; after the weighted sum: ${steps}` : "";
  if (!isMap(layer)) return `Each of ${layer.kernel[0].toLocaleString("en")} inputs${after}.`;
  const [rows, columns, channels] = [layer.shape[0], layer.shape[1], layer.kernel[2]];
  const pool = layer.pool > 1 ? ` (the largest of each ${layer.pool} × ${layer.pool})` : "";
  return `Over ${channels} ${channels === 1 ? "channel" : "channels"}, to maps of ${rows} × ${columns}${pool}${after}.`;
}

/** Name a unit: {unit, row, column}, counted from 0 as in Keras. */
export function nameUnit(layer, { unit, row, column }, names) {
  if (layer.kind === "output") return `Output ${names[unit]}`;
  return isMap(layer) ? `Map ${unit}, row ${row}, column ${column}` : `Unit ${unit}`;
}

/** Return the part of the image that a unit sees, clipped to it: {top, left, bottom, right}, the last two beyond it. */
export function findField({ field }, { row = 0, column = 0 }, image) {
  const top = field.start[0] + field.step[0] * row;
  const left = field.start[1] + field.step[1] * column;
  const bottom = Math.min(image.height, top + field.size[0]);
  const right = Math.min(image.width, left + field.size[1]);
  return { top: Math.max(0, top), left: Math.max(0, left), bottom, right };
}

export function describeField(seen, image) {
  const { top, left, bottom, right } = seen;
  if (bottom - top === image.height && right - left === image.width) return "sees the whole image";
  return `sees rows ${top} to ${bottom - 1} and columns ${left} to ${right - 1} of the image`;
}

/** Sum up a layer's answer for those who don't see it: its strongest unit, and how many answer nothing. */
export function summarise(layer, values, names) {
  const count = countUnits(layer);
  const largest = new Float32Array(count).fill(-Infinity);
  const active = new Uint8Array(count);
  for (let i = 0; i < values.length; i += 1) {
    const unit = i % count;
    if (values[i] > largest[unit]) largest[unit] = values[i];
    if (values[i] !== 0) active[unit] = 1;
  }
  const strongest = largest.indexOf(Math.max(...largest));
  const silent = count - active.reduce((sum, each) => sum + each, 0);
  const what = layer.kind === "output" ? `output ${names[strongest]}` : `${isMap(layer) ? "map" : "unit"} ${strongest}`;
  const rest = silent ? `; ${silent.toLocaleString("en")} of ${count.toLocaleString("en")} answer 0` : "";
  return `Strongest: ${what}, ${short(largest[strongest])}${rest}.`;
}

/** Return the class that is likeliest, and its probability. */
export function findLikeliest(probabilities) {
  const probability = Math.max(...probabilities);
  return [probabilities.indexOf(probability), probability];
}

/** Return in which shape the `inputs` of a layer's unit are drawn: that of what they come from, if they are as many. */
export function shapeInputs(layer, before, image, inputs) {
  if (isMap(layer)) return { height: layer.kernel[0], width: layer.kernel[1], count: layer.kernel[2] };
  const shape = before?.shape ?? [image.height, image.width, image.channels];
  const [height, width, count] = shape.length === 3 ? shape : [1, 1, shape[0]];
  return height * width * count === inputs ? { height, width, count } : { height: 1, width: 1, count: inputs };
}
