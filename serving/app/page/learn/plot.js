// Lines, points and bars on a canvas, in the colours of the page.

/** Return a drawing on a cleared canvas, whose units are those of the two ranges; sharp on any screen. */
export function draw(canvas, [left, right], [bottom, top]) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(`--${name}`);
  const x = (value) => ((value - left) / (right - left)) * width;
  const y = (value) => height - ((value - bottom) / (top - bottom)) * height;

  function line(points, name, thick = 2) {
    context.beginPath();
    points.forEach(([a, b], i) => (i ? context.lineTo(x(a), y(b)) : context.moveTo(x(a), y(b))));
    context.strokeStyle = colour(name);
    context.lineWidth = thick;
    context.stroke();
  }

  return {
    axes() {
      line([[left, 0], [right, 0]], "line", 1);
      line([[0, bottom], [0, top]], "line", 1);
    },
    line,
    curve(values, name) {
      const steps = Math.max(2, Math.round(width));
      line(Array.from({ length: steps + 1 }, (_, i) => {
        const a = left + ((right - left) * i) / steps;
        return [a, values(a)];
      }), name);
    },
    point([a, b], name, radius = 4) {
      context.beginPath();
      context.arc(x(a), y(b), radius, 0, 2 * Math.PI);
      context.fillStyle = colour(name);
      context.fill();
    },
    bar(a, wide, b, name) {
      context.fillStyle = colour(name);
      context.fillRect(x(a - wide / 2), y(b), x(a + wide / 2) - x(a - wide / 2), y(0) - y(b));
    },
    text(words, a, b) {
      context.fillStyle = colour("ink");
      context.font = "14px system-ui, sans-serif";
      context.textAlign = "center";
      context.fillText(words, x(a), y(b));
    },
    /** Shade each place by `value`, 0 as the paper and 1 as the ink. */
    shade(value, cells = 80) {
      const small = new OffscreenCanvas(cells, cells);
      const shades = small.getContext("2d");
      shades.fillStyle = colour("ink");
      for (let i = 0; i < cells; i++) {
        for (let j = 0; j < cells; j++) {
          const a = left + ((right - left) * (i + 0.5)) / cells;
          const b = bottom + ((top - bottom) * (j + 0.5)) / cells;
          shades.globalAlpha = 0.75 * value(a, b);
          shades.fillRect(i, cells - 1 - j, 1, 1);
        }
      }
      context.drawImage(small, 0, 0, width, height);
    },
  };
}
