/** A run in the list. */

import { el } from "../base/dom.js";
import { formatAge, shownName } from "../pure/formats.js";

/** @typedef {import("../types.d.ts").Run} Run */

const SHOWN_TAGS = 4;

export class RunRow {
  #box = el("input", { attributes: { type: "checkbox" } });
  #swatch = el("span", { class: "swatch" });
  #age = el("span", { class: "age" });
  root;

  /**
   * @param {Run} run
   * @param {() => void} toggle
   */
  constructor(run, toggle) {
    this.run = run;
    this.id = String(run.id);
    const name = shownName(run.name);
    const status = (run.status || "unknown").toLowerCase();
    const tags = (run.tags ?? []).slice(0, SHOWN_TAGS).map((tag) => el("span", { class: "tag", text: shownName(tag) }));
    this.#box.value = this.id;
    this.#box.addEventListener("change", toggle);
    const told = [run.displayId ?? `#${this.id}`, status].map(shownName).join(" · ");
    this.root = el(
      "li",
      {},
      el(
        "label",
        { class: "run", attributes: { title: `${name}\n${told}` } },
        this.#box,
        this.#swatch,
        el("span", { class: "name" }, el("bdi", { text: name })),
        this.#age,
        el("span", { class: "more-of" }, el("span", { class: `status ${status}`, text: status }), ...tags),
      ),
    );
  }

  /**
   * @param {boolean} chosen
   * @param {string} colour of its lines, empty where they have several
   * @param {number} nowS
   */
  show(chosen, colour, nowS) {
    this.#box.checked = chosen;
    this.#swatch.style.background = colour;
    this.#swatch.hidden = colour === "";
    const createdS = Date.parse(this.run.createdAt) / 1000;
    this.#age.textContent = Number.isFinite(createdS) ? formatAge(nowS - createdS) : "";
  }
}
