/** Light or dark: as the system says, until somebody chooses. */

import { el, fill, icon } from "./dom.js";

const KEY = "pluto-proxy-theme";
const SUN = "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1";
const MOON = "M13.5 9.5A6 6 0 0 1 6.5 2.5 6 6 0 1 0 13.5 9.5";

export class Theme {
  /** @type {(() => void)[]} */
  #listeners = [];
  #system = matchMedia("(prefers-color-scheme: dark)");
  button = el("button", { class: "quiet", attributes: { type: "button" }, on: { click: () => this.#toggle() } });

  constructor() {
    this.#system.addEventListener("change", () => this.#apply());
    this.#apply();
  }

  get dark() {
    const chosen = localStorage.getItem(KEY);
    return chosen === null ? this.#system.matches : chosen === "dark";
  }

  /** @param {() => void} listener is called after each change; returns what ends that */
  watch(listener) {
    this.#listeners.push(listener);
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }

  #toggle() {
    localStorage.setItem(KEY, this.dark ? "light" : "dark");
    this.#apply();
  }

  #apply() {
    document.documentElement.dataset["theme"] = this.dark ? "dark" : "light";
    const other = this.dark ? "Light colours" : "Dark colours";
    this.button.title = other;
    this.button.setAttribute("aria-label", other);
    fill(this.button, icon(this.dark ? SUN : MOON));
    for (const listener of this.#listeners) listener();
  }
}
