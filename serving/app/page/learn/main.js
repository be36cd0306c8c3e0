// Four playgrounds: each draws again whenever one of its controls, the colours or the width of the page change.

import { activations, curve, descend, neuron, softmax } from "./mathematics.js";
import { draw } from "./plot.js";

const DIGITS = ["3", "5", "8"];
const SURFACE = { range: [-1, 6], start: [0, -0.5], steps: 50 };

function playground(id, show) {
  const section = document.getElementById(id);
  const canvas = section.querySelector("canvas");
  const output = section.querySelector("output");
  const values = (name) => [...section.querySelectorAll(`[name=${name}]`)].map((control) => control.value);
  const update = () => { output.textContent = show(canvas, (name) => values(name)[0], values); };
  section.addEventListener("input", update);
  new ResizeObserver(update).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update);
  return { section, update };
}

const round = (value) => value.toFixed(2).replace("-0.00", "0.00");

playground("neuron", (canvas, value) => {
  const activation = activations[value("activation")];
  const [weight, bias, input] = ["weight", "bias", "input"].map((name) => Number(value(name)));
  const sum = weight * input + bias;
  const plot = draw(canvas, [-4, 4], [-2.2, 4]);
  plot.axes();
  plot.curve((x) => activation(weight * x + bias), "accent");
  plot.point([input, activation(sum)], "ink", 5);
  return `${round(weight)} × ${round(input)} + ${round(bias)} = ${round(sum)}; the activation makes ${round(activation(sum))} of it.`;
});

playground("softmax", (canvas, value, values) => {
  const probabilities = softmax(values("score").map(Number), Number(value("temperature")));
  const plot = draw(canvas, [-0.6, 2.6], [-0.15, 1.1]);
  probabilities.forEach((probability, i) => {
    plot.bar(i, 0.6, Math.max(probability, 0.004), DIGITS[i] === value("truth") ? "accent" : "bar");
    plot.text(`${DIGITS[i]}: ${(100 * probability).toFixed(1)} %`, i, -0.1);
  });
  const right = probabilities[DIGITS.indexOf(value("truth"))];
  return `The right class, ${value("truth")}, has ${(100 * right).toFixed(1)} %. `
    + `Cross-entropy: −ln ${right.toFixed(3)} = ${round(-Math.log(right))} nats.`;
});

let steps = 0;
const descent = playground("descent", (canvas, value) => {
  const rate = 10 ** Number(value("rate"));
  const path = descend(value("optimizer"), rate, [Number(value("start"))], curve.gradient, steps);
  const plot = draw(canvas, [-2.2, 2.2], [0, 2.4]);
  plot.axes();
  plot.curve((w) => curve.loss([w]), "soft");
  const points = path.filter(([w]) => Math.abs(w) < 10).map(([w]) => [w, curve.loss([w])]);
  plot.line(points, "accent", 1);
  points.forEach((point) => plot.point(point, "accent", 3));
  const [w] = path.at(-1);
  if (points.at(-1)?.[0] === w) plot.point(points.at(-1), "ink", 5);
  const place = Math.abs(w) < 10 ? `the weight is ${round(w)} and the loss ${round(curve.loss([w]))}.` : "the weight has left the picture: the rate is too large.";
  return `Learning rate ${rate.toPrecision(2)}. After ${steps} ${steps === 1 ? "step" : "steps"} ${place}`;
});
for (const [name, count] of [["step", () => steps + 1], ["many", () => steps + 20], ["again", () => 0]]) {
  descent.section.querySelector(`[name=${name}]`).addEventListener("click", () => {
    steps = count();
    descent.update();
  });
}

playground("surface", (canvas, value) => {
  const rate = 10 ** Number(value("rate"));
  const path = descend(value("optimizer"), rate, SURFACE.start, neuron.gradient, SURFACE.steps);
  const plot = draw(canvas, SURFACE.range, SURFACE.range);
  // The square root shows the floor of the valley, which is flat.
  plot.shade((a, b) => Math.max(0, 1 - Math.sqrt(neuron.loss([a, b]))));
  plot.axes();
  plot.line(path, "accent");
  path.forEach((place) => plot.point(place, "accent", 2.5));
  plot.point(path.at(-1), "alarm", 5);
  const end = path.at(-1);
  return `Learning rate ${rate.toPrecision(2)}. From loss ${round(neuron.loss(SURFACE.start))} to `
    + `${round(neuron.loss(end))} in ${SURFACE.steps} steps, at weights ${round(end[0])} and ${round(end[1])}.`;
});
