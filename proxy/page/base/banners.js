/** Says what is wrong, in plain words, above everything; one banner for each code. */

import { el, fill } from "./dom.js";

/** @typedef {import("../types.d.ts").Notice} Notice */

export class Banners {
  /** @type {Map<string, HTMLElement>} */
  #shown = new Map();
  /** @type {Map<string, string>} */
  #texts = new Map();

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
  }

  /**
   * Show a notice, in the place of an earlier one with its code (or `place`).
   * @param {Notice} notice
   * @param {{label: string, act: () => void} | null} [action]
   * @param {string} [place]
   */
  show(notice, action = null, place = notice.code) {
    const text = JSON.stringify(notice);
    if (this.#texts.get(place) === text) return;
    const dismiss = el("button", {
      class: "quiet",
      text: "×",
      attributes: { type: "button", "aria-label": `Dismiss: ${notice.title}` },
      on: { click: () => this.clear(place) },
    });
    const button = action && el("button", { text: action.label, attributes: { type: "button" }, on: { click: action.act } });
    const words = el(
      "p",
      {},
      el("strong", { text: `${notice.title}. ` }),
      notice.advice ? `${notice.advice} ` : null,
      el("span", { class: "detail", text: notice.detail }),
    );
    const banner = el("div", { class: `banner ${notice.tone}`, attributes: { "data-code": notice.code } }, words, button, dismiss);
    this.#shown.set(place, banner);
    this.#texts.set(place, text);
    fill(this.root, ...this.#shown.values());
  }

  /** @param {string} place */
  clear(place) {
    this.#texts.delete(place);
    this.#shown.get(place)?.remove();
    this.#shown.delete(place);
  }
}
