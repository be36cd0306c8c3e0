// What all pages use: their parts, and how a number is written.

export const part = (id) => document.getElementById(id);

export function tell(id, text) {
  // What stays the same isn't set: a screen reader would read it again.
  if (part(id).textContent !== text) part(id).textContent = text;
}

export function percent(share, decimals = 1) {
  return `${(100 * share).toFixed(decimals)} %`;
}

/** Say why the server refused something. */
export function report({ message }) {
  tell("problem", message);
}
