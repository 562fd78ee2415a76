/** Taking away what is stored: what, how, and a question back. */

import { ApiError } from "../base/api.js";
import { toast } from "../base/files.js";
import { el, fill } from "../base/dom.js";
import { counted, shownName } from "../pure/formats.js";

/** @typedef {import("../main.js").App} App */

const NAMES = /** @type {const} */ (["project", "run", "metric"]);

const CONSEQUENCES = {
  soft: "Stored answers count as expired; they are still shown while Pluto can't answer.",
  hard: "Stored answers are deleted; what Pluto can't answer then can't be shown.",
};
const HINT = "What is purged is asked of Pluto again when somebody wants it. Name a project, a run, a metric, or several of these.";

export class PurgeForm {
  /** @type {Record<string, HTMLInputElement>} */
  #inputs = Object.fromEntries(NAMES.map((name) => [name, el("input", { attributes: { type: "search", id: `purge-${name}`, autocomplete: "off" } })]));
  #soft = el("input", { attributes: { type: "checkbox", checked: true } });
  #said = el("p", { class: "hint", attributes: { role: "status" } });
  #dialog = el("dialog", { class: "dialog", attributes: { "aria-labelledby": "purge-title" } });
  root;

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    const fields = NAMES.map((name) =>
      el("label", { class: "field", attributes: { for: `purge-${name}` } }, name, /** @type {HTMLInputElement} */ (this.#inputs[name])),
    );
    const told = "Ask afresh, and keep what there is for as long as Pluto can't answer";
    const named = danger("Purge these…", () => this.#askBack(this.#named()));
    const all = danger("Purge everything…", () => this.#askBack({ everything: true }));
    this.root = el(
      "section",
      { class: "card purge" },
      el("header", {}, el("h3", { text: "Purge" })),
      el("p", { class: "hint", text: HINT }),
      el("div", { class: "fields" }, ...fields),
      el("label", { class: "check" }, this.#soft, told),
      el("div", { class: "buttons" }, named, all),
      this.#said,
      this.#dialog,
    );
  }

  #named() {
    const given = NAMES.map((name) => [name, this.#inputs[name]?.value ?? ""]).filter(([, value]) => value !== "");
    return /** @type {Record<string, string | boolean>} */ (Object.fromEntries(given));
  }

  /** @param {Record<string, string | boolean>} what */
  #askBack(what) {
    if (!Object.keys(what).length) {
      this.#said.textContent = "Name a project, a run or a metric first.";
      return;
    }
    const mode = this.#soft.checked ? "soft" : "hard";
    const words = wordsOf(what);
    const cancel = el("button", { text: "Cancel", attributes: { type: "button" }, on: { click: () => this.#dialog.close() } });
    const purge = danger("Purge", () => {
      this.#dialog.close();
      void this.#purge({ ...what, mode });
    });
    const title = el("h2", { text: `Purge ${words}?`, attributes: { id: "purge-title" } });
    const buttons = el("div", { class: "buttons" }, el("span", { class: "spacer" }), cancel, purge);
    fill(this.#dialog, el("form", {}, title, el("p", { text: CONSEQUENCES[mode] }), buttons));
    this.#dialog.showModal();
    cancel.focus();
  }

  /** @param {Record<string, unknown>} document */
  async #purge(document) {
    try {
      const done = await this.app.api.post("/admin/purge", document);
      const counts = Object.entries(done).filter(([, value]) => typeof value === "number");
      const told = counts.map(([name, count]) => `${name.replaceAll("_", " ")} ${count}`).join(", ");
      this.#said.textContent = `Purged${told ? `: ${told}` : ""}.`;
      toast("Purged");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#said.textContent = `Nothing was purged. ${error.failure.title}: ${error.failure.detail}`;
    }
  }
}

/** @param {Record<string, string | boolean>} what */
function wordsOf(what) {
  if (what["everything"]) return "everything";
  const parts = Object.entries(what).map(([name, value]) => `${name} “${shownName(String(value))}”`);
  return parts.length > 1 ? `${counted(parts.length, "condition")}: ${parts.join(", ")}` : (parts[0] ?? "");
}

/**
 * @param {string} text
 * @param {() => void} act
 */
function danger(text, act) {
  return el("button", { class: "danger", text, attributes: { type: "button" }, on: { click: act } });
}
