// The input: the pixels that the network is given, what a unit sees of them, and all of them as numbers.

import { part } from "./parts.js";

const ROOM = 112; // CSS pixels
const MOST = 4096; // cells of the table
const numbers = part("numbers");
let pixels = null;
let image = { height: 1, width: 1, channels: 1 };

export function setImage(form) {
  image = form;
  pixels = null;
  part("table").replaceChildren();
  part("size").textContent = `${image.width} × ${image.height} pixels`;
  drawInput(null);
}

/** Show pixels, 0…255: [height][width] or [height][width][3], or nothing (null). */
export function showInput(given) {
  pixels = given;
  if (numbers.open) showNumbers();
}

/** Draw the pixels, and a frame around what is seen of them ({top, left, bottom, right}), or none (null). */
export function drawInput(seen, canvas = part("seen")) {
  const { width, height, channels } = image;
  const scale = Math.max(1, Math.floor(ROOM / Math.max(width, height)));
  const context = canvas.getContext("2d");
  Object.assign(canvas, { width: width * scale, height: height * scale });
  if (pixels) {
    const data = new ImageData(width, height);
    for (let i = 0; i < width * height; i += 1) {
      for (let k = 0; k < 3; k += 1) data.data[4 * i + k] = pixels[channels * i + (channels === 3 ? k : 0)];
      data.data[4 * i + 3] = 255;
    }
    const small = new OffscreenCanvas(width, height);
    small.getContext("2d").putImageData(data, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, width * scale, height * scale);
  }
  if (!seen) return;
  context.strokeStyle = getComputedStyle(canvas).getPropertyValue("--frame");
  context.lineWidth = 3;
  const [across, down] = [seen.right - seen.left, seen.bottom - seen.top];
  context.strokeRect(seen.left * scale + 1.5, seen.top * scale + 1.5, across * scale - 3, down * scale - 3);
}

/** Write the pixels into the table, which is made when it is first asked for. */
function showNumbers() {
  const { width, height, channels } = image;
  const room = part("table");
  if (width * height > MOST) {
    room.textContent = `These are ${width} × ${height} pixels, too many to list.`;
    return;
  }
  if (!room.firstElementChild) room.append(makeTable(width, height));
  const cells = room.getElementsByTagName("td");
  for (let i = 0; i < cells.length; i += 1) {
    const text = pixels ? Array.from(pixels.slice(channels * i, channels * (i + 1))).join(" ") : "";
    if (cells[i].textContent === text) continue;
    cells[i].textContent = text;
    cells[i].className = text === "0" ? "zero" : "";
  }
}

function makeTable(width, height) {
  const table = document.createElement("table");
  const caption = table.createCaption();
  caption.textContent = "Rows and columns are counted from 0. The value 0 is dark and 255 is light; in a drawing, 255 is ink.";
  const head = table.createTHead().insertRow();
  const number = (scope, text) => Object.assign(document.createElement("th"), { scope, textContent: text });
  head.insertCell().replaceWith(number("col", "row"));
  for (let column = 0; column < width; column += 1) head.append(number("col", column));
  const body = table.createTBody();
  for (let y = 0; y < height; y += 1) {
    const row = body.insertRow();
    row.append(number("row", y));
    for (let column = 0; column < width; column += 1) row.insertCell();
  }
  return table;
}

numbers.addEventListener("toggle", () => numbers.open && showNumbers());
