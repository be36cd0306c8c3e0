// The chosen unit: its inputs, its weights and their products as pictures, and the way to its output in numbers.

import { drawInput } from "./input.js";
import { part } from "./parts.js";
import { findLimit, Tiles } from "./tiles.js";
import { nameOperator, short } from "./words.js";

const SIDE = 112; // CSS pixels of a picture of one channel
const SMALL = 22; // of each of many
const ALL = 32; // products that are listed in their order; of more, the LARGEST
const LARGEST = 24;
const panel = part("unit");
const [title, about, pictures, details] = panel.children;
const tiles = [...pictures.querySelectorAll("canvas:not(#field)")].map((canvas) => new Tiles(canvas));

/** Show a unit in words, what it sees, and what it is computed from, as /inside/unit says; `shape`: that of its inputs. */
export function showUnit(name, words, seen, computed, shape) {
  title.textContent = name;
  about.textContent = words;
  pictures.hidden = details.hidden = !computed;
  if (!computed) return;
  drawInput(seen, part("field"));
  const [inputs, weights] = [computed.inputs.flat(2), computed.weights.flat(2)];
  const products = inputs.map((input, i) => input * weights[i]);
  [inputs, weights, products].forEach((values, i) => {
    const { width, height, count } = shape;
    const side = count === 1 ? SIDE : width * height === 1 ? 8 : SMALL;
    tiles[i].lay({ count, width, height, side, room: Math.min(pictures.clientWidth, 232) });
    tiles[i].draw(values, findLimit(values));
  });
  const write = () => part("steps").replaceChildren(makeTable(computed, { inputs, weights, products }, shape));
  if (details.open) write();
  details.ontoggle = () => details.open && write();
}

export function openSteps() {
  details.open = true;
  details.firstElementChild.focus();
}

/** Return the multiplication as a table: a row for each product, with the sum so far, then bias and steps. */
function makeTable(computed, { inputs, weights, products }, shape) {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const text of [nameInputs(shape), "input", "× weight", "= product", "sum so far"]) {
    head.append(Object.assign(document.createElement("th"), { scope: "col", textContent: text }));
  }
  const body = table.createTBody();
  const order = [...products.keys()];
  if (order.length > ALL) order.sort((a, b) => Math.abs(products[b]) - Math.abs(products[a])).splice(LARGEST);
  let sum = 0;
  for (const i of order) {
    sum += products[i];
    addRow(body, nameInput(i, shape), [inputs[i], weights[i], products[i], sum]);
  }
  if (order.length < products.length) {
    const all = products.reduce((total, product) => total + product, 0);
    addRow(body, `the other ${(products.length - order.length).toLocaleString("en")}, together`, [all - sum, all]);
  }
  if (computed.bias) addRow(body, "bias", [computed.bias, computed.sum]);
  const where = computed.at.length ? ` in row ${computed.at[0]}, column ${computed.at[1]}` : "";
  addRow(body, `weighted sum${where}`, [computed.sum]);
  for (const { operator, value } of computed.steps) addRow(body, explain(operator, computed), [value]);
  return table;
}

/** Add a row whose name takes the room of the columns for which there is no value. */
function addRow(body, name, values) {
  const row = body.insertRow();
  row.append(Object.assign(document.createElement("th"), { scope: "row", colSpan: 5 - values.length, textContent: name }));
  for (const value of values) row.insertCell().textContent = short(value);
}

function nameInputs({ width, height, count }) {
  if (width * height === 1) return "unit";
  return count === 1 ? "row, column" : "row, column, channel";
}

/** Name one of the inputs, whose order is [row][column][channel]. */
function nameInput(i, { width, height, count }) {
  if (width * height === 1) return i;
  const place = Math.floor(i / count);
  const at = `${Math.floor(place / width)}, ${place % width}`;
  return count === 1 ? at : `${at}, ${i % count}`;
}

function explain(operator, { sum, sums }) {
  if (operator === "Relu") return "ReLU: not below 0";
  if (operator === "MaxPool") return "max-pooling: the largest of its neighbours";
  if (operator === "Sigmoid") return "sigmoid: 1 ÷ (1 + e^−x)";
  if (operator !== "Softmax") return nameOperator(operator);
  const all = sums.reduce((total, each) => total + Math.exp(each - sum), 0);
  return `softmax: 1 ÷ ${short(all)}, the sum of e^(x − this sum) over all outputs`;
}
