/** Hands texts and pictures to the user: as files, or by the clipboard. */

import { el } from "./dom.js";

const KEPT_MS = 10_000;

/**
 * @param {Blob} content
 * @param {string} name
 */
export function download(content, name) {
  const url = URL.createObjectURL(content);
  el("a", { attributes: { href: url, download: fileName(name) } }).click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

/** @param {string} text any, as a part of a file's name */
function fileName(text) {
  return text.normalize("NFKC").replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 100);
}

/**
 * Copy a text, and say so for a moment.
 * @param {string} text
 * @param {string} what
 */
export async function copy(text, what) {
  const done = await navigator.clipboard.writeText(text).then(
    () => true,
    () => copyOldWay(text),
  );
  toast(done ? `Copied: ${what}` : "The browser doesn't let this page copy.");
}

/**
 * The clipboard's own interface is there on secure origins only.
 * @param {string} text
 */
function copyOldWay(text) {
  const field = el("textarea", { class: "away" });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

/** @param {string} text */
export function toast(text) {
  document.querySelector(".toast")?.remove();
  const shown = el("div", { class: "toast", text, attributes: { role: "status" } });
  document.body.append(shown);
  setTimeout(() => shown.remove(), 2500);
}
