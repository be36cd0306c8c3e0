// What the playgrounds compute, without a page: the same formulas and defaults as Keras'.

export const activations = {
  relu: (x) => Math.max(0, x),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  step: (x) => (x > 0 ? 1 : 0),
  linear: (x) => x,
};

/** Return probabilities from scores, each divided by the temperature. */
export function softmax(scores, temperature = 1) {
  const largest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp((score - largest) / temperature));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

// From a gradient and what the optimizer remembers to the change of each weight; a memory begins empty.
const rules = {
  SGD: (gradient, rate) => gradient.map((slope) => -rate * slope),
  momentum: (gradient, rate, memory) => {
    memory.velocity = gradient.map((slope, i) => 0.9 * (memory.velocity?.[i] ?? 0) - rate * slope);
    return memory.velocity;
  },
  RMSprop: (gradient, rate, memory) => {
    memory.square = gradient.map((slope, i) => 0.9 * (memory.square?.[i] ?? 0) + 0.1 * slope ** 2);
    return gradient.map((slope, i) => (-rate * slope) / Math.sqrt(memory.square[i] + 1e-7));
  },
  Adam: (gradient, rate, memory) => {
    memory.steps = (memory.steps ?? 0) + 1;
    memory.mean = gradient.map((slope, i) => 0.9 * (memory.mean?.[i] ?? 0) + 0.1 * slope);
    memory.square = gradient.map((slope, i) => 0.999 * (memory.square?.[i] ?? 0) + 0.001 * slope ** 2);
    const scale = (rate * Math.sqrt(1 - 0.999 ** memory.steps)) / (1 - 0.9 ** memory.steps);
    return memory.mean.map((mean, i) => (-scale * mean) / (Math.sqrt(memory.square[i]) + 1e-7));
  },
};

/** Return the places of the weights after 0, 1, … steps from `start`; gradient is a function of the place. */
export function descend(name, rate, start, gradient, steps) {
  const path = [start];
  const memory = {};
  for (let step = 0; step < steps; step++) {
    const place = path.at(-1);
    const change = rules[name](gradient(place), rate, memory);
    path.push(place.map((value, i) => value + change[i]));
  }
  return path;
}

/** A loss with two valleys, the right one deeper. */
export const curve = {
  loss: ([w]) => 0.25 * w ** 4 - 0.75 * w ** 2 - 0.2 * w + 1,
  gradient: ([w]) => [w ** 3 - 1.5 * w - 0.2],
};

// Points [x, y] of two kinds, 0 and 1, the second axis a fifth of the first: the valley is narrow.
const POINTS = [
  [-2, -0.5, 0], [-1.5, 0.1, 0], [-1, -0.3, 0], [-0.4, 0.2, 0], [0.3, -0.4, 0],
  [-0.3, 0.3, 1], [0.5, 0.2, 1], [1, 0.5, 1], [1.6, -0.1, 1], [2.1, 0.3, 1],
];

/** The cross-entropy of a neuron with two weights and a sigmoid, and its gradient. */
export const neuron = {
  loss: (weights) => mean(POINTS.map(([x, y, kind]) => {
    const score = weights[0] * x + weights[1] * y;
    return Math.log1p(Math.exp(-Math.abs(score))) + Math.max(score, 0) - kind * score;
  })),
  gradient: (weights) => [0, 1].map((i) => mean(POINTS.map((point) => {
    const error = activations.sigmoid(weights[0] * point[0] + weights[1] * point[1]) - point[2];
    return error * point[i];
  }))),
};

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
