// A drawing area: lines by mouse, pen, finger or keys.

const PEN = 0.07; // a line's width, of the canvas: a digit 0.65 high then gets 2.2 of its 20 pixels, MNIST's median
const SIDE = 280; // of the PNG that is sent: ten pixels for each of the network's, so that there is something to average
const STEP = 0.02; // of the canvas, for one press of an arrow
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  strokes = []; // points 0…1 of the canvas, for any size and colour
  #pointer = null; // the id of the mouse, pen or finger that is drawing
  #pen = null; // the keyboard's: {x, y, down}
  #held = new Set(); // arrow keys
  #frame = 0;

  /** `begin` is called before each line, `change` after each change and at a line's end, `announce` with words to read out,
   * `paint` after each painting. */
  constructor(canvas, { begin, change, announce, paint }) {
    Object.assign(this, { canvas, begin, change, announce, painted: paint });
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.#lift(event));
    canvas.addEventListener("keydown", (event) => this.#type(event));
    canvas.addEventListener("keyup", ({ key }) => this.#held.delete(key));
    canvas.addEventListener("blur", () => this.#held.clear());
    new ResizeObserver(() => this.repaint()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
  }

  /** Whether a line is being drawn. */
  get isDrawing() {
    return this.#pointer !== null || this.#pen?.down === true;
  }

  /** Whether the keyboard's pen is shown. */
  get hasPen() {
    return this.#pen !== null;
  }

  clear() {
    this.strokes = [];
    this.#pointer = this.#pen = null;
    this.repaint();
  }

  undo() {
    this.strokes.pop();
    this.#pointer = this.#pen = null; // a line that is being drawn ends here
    this.repaint();
  }

  /** Return the drawing as a PNG, black on white. */
  picture() {
    const paper = new OffscreenCanvas(SIDE, SIDE);
    const context = paper.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, SIDE, SIDE);
    this.#paint(context, SIDE, "black");
    return paper.convertToBlob({ type: "image/png" });
  }

  repaint() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
      const context = this.canvas.getContext("2d");
      this.canvas.width = this.canvas.height = side; // clears it, too
      this.#paint(context, side, getComputedStyle(this.canvas).color);
      if (this.#pen) {
        context.lineWidth = 2 * devicePixelRatio;
        context.beginPath();
        context.arc(this.#pen.x * side, this.#pen.y * side, (PEN * side) / 2 + context.lineWidth, 0, 7);
        context.stroke();
      }
      this.painted();
    });
  }

  #paint(context, side, ink) {
    Object.assign(context, { strokeStyle: ink, lineWidth: PEN * side, lineCap: "round", lineJoin: "round" });
    for (const points of this.strokes) {
      const at = points.map(([x, y]) => [x * side, y * side]);
      context.beginPath();
      context.moveTo(...at[0]);
      // Curves through the middles between the points, bent towards the points: a quick hand leaves only few of them.
      for (let i = 1; i < at.length; i += 1) {
        context.quadraticCurveTo(...at[i - 1], (at[i - 1][0] + at[i][0]) / 2, (at[i - 1][1] + at[i][1]) / 2);
      }
      const [x, y] = at.at(-1);
      context.lineTo(x + 0.01, y); // a line of no length would not be painted, and a tap is a dot
      context.stroke();
    }
  }

  #begin(point) {
    this.begin();
    this.strokes.push([point]);
    this.#changed();
  }

  #extend(points) {
    this.strokes.at(-1).push(...points);
    this.#changed();
  }

  #changed() {
    this.repaint();
    this.change();
  }

  #place({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [(clientX - left) / width, (clientY - top) / height];
  }

  #press(event) {
    if (this.#pointer !== null || event.button !== 0) return; // one finger draws; the palm that comes after it doesn't
    this.#begin(this.#place(event));
    [this.#pointer, this.#pen] = [event.pointerId, null];
    this.canvas.setPointerCapture(this.#pointer);
  }

  #move(event) {
    if (event.pointerId !== this.#pointer) return;
    // Browsers report once a frame; the points between are in here, where the page's origin is a secure one.
    const events = event.getCoalescedEvents?.() ?? [];
    this.#extend((events.length ? events : [event]).map((each) => this.#place(each)));
  }

  #lift(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#pointer = null;
    this.#changed(); // so that the finished line is read once more, and read out
  }

  #type(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key === " " || event.key in ARROWS)) return;
    event.preventDefault(); // or the page would scroll
    let { x, y, down } = this.#pen ?? { x: 0.5, y: 0.5, down: false };
    if (event.key === " ") {
      if (event.repeat) return;
      down = !down;
      if (down) this.#begin([x, y]);
      else this.#changed();
    } else {
      this.#held.add(event.key); // two arrows held together move it askew
      for (const key of this.#held) [x, y] = [x + STEP * ARROWS[key][0], y + STEP * ARROWS[key][1]];
      [x, y] = [x, y].map((value) => Math.min(Math.max(value, 0), 1));
      if (down) this.#extend([[x, y]]);
      else this.repaint();
    }
    this.#pen = { x, y, down };
    if (down) this.announce("Pen down");
  }
}
