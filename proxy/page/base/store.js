/** Holds the view, and keeps the address and those who show it in step with it. */

import { decodeView, encodeView } from "../pure/address.js";

/** @typedef {import("../types.d.ts").View} View */
/** @typedef {(view: View, before: View) => void} Listener */

export class Store {
  /** @type {Listener[]} */
  #listeners = [];
  /** @type {View} */
  #view = decodeView(location.hash);

  constructor() {
    addEventListener("popstate", () => this.#become(decodeView(location.hash)));
  }

  get view() {
    return this.#view;
  }

  /** @param {Listener} listener is called after each change */
  watch(listener) {
    this.#listeners.push(listener);
  }

  /**
   * Change the view. `step` makes it one that the browser's back button goes back from.
   * @param {Partial<View>} change
   * @param {{step?: boolean}} [options]
   */
  change(change, { step = true } = {}) {
    const next = { ...this.#view, ...change };
    const address = encodeView(next);
    if (address === encodeView(this.#view)) return;
    if (step) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    this.#become(next);
  }

  /** @param {View} next */
  #become(next) {
    const before = this.#view;
    this.#view = next;
    for (const listener of this.#listeners) listener(next, before);
  }
}
