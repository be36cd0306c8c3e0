// What all pages use: their parts, and how a number is written.

export const part = (id) => document.getElementById(id);

export function tell(id, text) {
  // What stays the same isn't set: a screen reader would read it again.
  if (part(id).textContent !== text) part(id).textContent = text;
}

export function percent(share, decimals = 1) {
  return `${(100 * share).toFixed(decimals)} %`;
}

export const AGAIN = 2_000; // ms, where the server doesn't say when to ask again
export const PATIENCE = 40_000; // ms for one answer: the server gives a photograph on a slow line 30 s to come

/** Whether an answer with this status stays the same if one asks again. */
export const isFinal = (status) => status >= 400 && status < 500 && ![408, 429].includes(status);

/** Return after how many ms to ask again: as the server says, but at most after five times AGAIN. */
export function findPause(response) {
  return Math.min(1000 * response?.headers.get("Retry-After") || AGAIN, 5 * AGAIN);
}

/** Say what happened where the server gave no reason: a proxy refused the request, or nothing answered. */
export function explain(status) {
  if (isFinal(status)) return `a proxy before the server refuses this, with status ${status}`;
  return "the server does not answer; the page goes on trying";
}

/** Say why the server refused something. */
export function report({ message }) {
  tell("problem", message);
}
