// The answer: the digit, the ten probabilities, what the network was given, and which model it is.

export const part = (id) => document.getElementById(id);
const columns = [...part("probabilities").children];
let served; // the version that the page describes

export function tell(id, text) {
  // What stays the same isn't set: a screen reader would read it again.
  if (part(id).textContent !== text) part(id).textContent = text;
}

/** Show what /predict answered, or nothing (null); `aloud`: to a screen reader, too. */
export function show(answer, aloud = true) {
  const { digit, confidence, probabilities = [], pixels, sure, reason } = answer?.predictions[0] ?? {};
  const doubt = sure === false ? `unsure: ${reason}` : ""; // an older model doesn't say whether it is sure
  tell("digit", answer ? String(digit) : "");
  tell("confidence", answer ? percent(confidence) : "");
  tell("doubt", doubt);
  part("reading").classList.toggle("unsure", doubt !== "");
  if (aloud) tell("announcement", answer ? [digit, percent(confidence), doubt].filter((word) => word !== "").join(", ") : "");
  columns.forEach((column, i) => {
    column.classList.toggle("most", i === digit);
    column.style.setProperty("--probability", probabilities[i] ?? 0);
    column.lastElementChild.textContent = answer ? (100 * probabilities[i]).toFixed(1) : "";
  });
  const seen = part("seen").getContext("2d");
  seen.clearRect(0, 0, 28, 28);
  if (pixels) {
    const image = new ImageData(28, 28);
    Array.from(atob(pixels), (byte, i) => image.data.set([...Array(3).fill(byte.charCodeAt(0)), 255], 4 * i));
    seen.putImageData(image, 0, 0);
  }
  if (answer && answer.model.version !== served) {
    served = answer.model.version;
    describe();
  }
}

export async function describe() {
  try {
    const { status, problem, model } = await (await fetch("readyz")).json();
    tell("name", model?.name ?? "");
    tell("preset", model?.preset ?? "");
    tell("version", [model?.version, model?.alias].filter(Boolean).join(", "));
    tell("accuracy", model?.test_accuracy ? percent(model.test_accuracy, 2) : "");
    tell("notice", problem ?? (status === "ready" ? "" : `the server is not ready: ${status}`));
    served = model?.version;
  } catch {
    served = undefined; // the next answer tries again
  }
}

function percent(share, decimals = 1) {
  return `${(100 * share).toFixed(decimals)} %`;
}
