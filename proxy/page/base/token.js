/** Asks for the proxy's token, and keeps it for this tab. */

import { el, fill, icon } from "./dom.js";

/** @typedef {import("./api.js").Api} Api */

const KEY = "M10.5 2a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M8 8l-6 6M4 12l1.5 1.5M6 10l1.5 1.5";

export class TokenEntry {
  #input = el("input", {
    attributes: {
      id: "token",
      type: "password",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: "ppt_…",
      "aria-describedby": "token-why",
    },
  });
  #why = el("p", { class: "hint", attributes: { id: "token-why" } });
  #forget = el("button", { text: "Forget it", attributes: { type: "button" }, on: { click: () => this.#keep("") } });
  #dialog;
  button = el("button", { class: "quiet labelled", attributes: { type: "button" }, on: { click: () => this.open() } });

  /**
   * @param {Api} api
   * @param {() => void} onChange
   */
  constructor(api, onChange) {
    this.api = api;
    this.onChange = onChange;
    const cancel = el("button", { text: "Cancel", attributes: { type: "button" }, on: { click: () => this.#dialog.close() } });
    const use = el("button", { class: "primary", text: "Use it", attributes: { type: "submit" } });
    const form = el(
      "form",
      { on: { submit: (/** @type {Event} */ event) => this.#submit(event) } },
      el("h2", { text: "Token", attributes: { id: "token-title" } }),
      this.#why,
      el("label", { text: "The proxy's token", attributes: { for: "token" } }),
      this.#input,
      el("div", { class: "buttons" }, this.#forget, el("span", { class: "spacer" }), cancel, use),
    );
    this.#dialog = el("dialog", { class: "dialog", attributes: { "aria-labelledby": "token-title" } }, form);
    document.body.append(this.#dialog);
    this.#label();
  }

  /** @param {string} [why] what was said when the last one was refused */
  open(why = "") {
    const told = "It is sent to this proxy alone, and kept until this tab is closed.";
    this.#why.textContent = why ? `${why[0]?.toUpperCase()}${why.slice(1)}. ${told}` : told;
    this.#forget.hidden = !this.api.token;
    this.#input.value = "";
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#input.focus();
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const text = this.#input.value.trim();
    if (/^[\x21-\x7e]+$/.test(text)) this.#keep(text);
    else this.#why.textContent = "A token is one word of letters, digits and signs, such as ppt_….";
  }

  /** @param {string} text */
  #keep(text) {
    this.api.token = text;
    this.#dialog.close();
    this.#label();
    this.onChange();
  }

  #label() {
    fill(this.button, icon(KEY), this.api.token ? "Token in use" : "Token");
  }
}
