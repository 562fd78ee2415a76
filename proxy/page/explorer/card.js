/** A chart with its title, legend, menu, and what is to be said about it. */

import { copy, download, toast } from "../base/files.js";
import { el, fill } from "../base/dom.js";
import { menu } from "../base/menu.js";
import { csvOf } from "../pure/csv.js";
import { colourOf } from "../pure/colours.js";
import { formatCount, shownName } from "../pure/formats.js";
import { keyText, pointsFor } from "../pure/requests.js";
import { curlOf, pandasOf, plutoOf } from "../pure/snippets.js";
import { describe } from "../pure/words.js";
import { stepsOfTimes, stepsOfWindow } from "../pure/ranges.js";
import { Legend } from "./legend.js";
import { pictureOf } from "./picture.js";
import { Plot } from "./plot.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../types.d.ts").View} View */
/** @typedef {import("../types.d.ts").Slot} Slot */
/** @typedef {import("../pure/colours.js").Slots} Slots */

export class Card {
  /** @type {Slot[]} */
  #slots = [];
  #words = el("p", { class: "words" });
  #over = el("p", { class: "over-plot", attributes: { hidden: true } });
  #legend = new Legend();
  #plot;
  root;

  /**
   * @param {App} app
   * @param {string[]} metrics
   * @param {Slots} slots the colours
   */
  constructor(app, metrics, slots) {
    this.app = app;
    this.metrics = metrics;
    this.slots = slots;
    this.#plot = new Plot(app, this.title, this.#legend);
    this.#legend.onPoint = (place) => this.#plot.point(place);
    const actions = menu(`Export and copy: ${this.title}`, [
      { label: "Save as PNG", act: () => void this.#savePicture() },
      { label: "Save as CSV", act: () => this.#saveCsv() },
      { label: "Copy curl lines", act: () => void copy(curlOf(this.#asked()), "curl") },
      { label: "Copy pandas lines", act: () => void copy(pandasOf(this.#asked()), "pandas") },
      { label: "Copy pluto.query lines", act: () => void copy(plutoOf(this.#asked()), "pluto.query") },
    ]);
    const title = el("h3", { attributes: { title: this.title } }, el("bdi", { text: this.title }));
    this.root = el(
      "section",
      { class: "card", attributes: { "aria-label": `Chart: ${this.title}` } },
      el("header", {}, title, actions),
      el("div", { class: "plot-box" }, this.#plot.root, this.#over),
      this.#words,
      this.#legend.root,
    );
  }

  get title() {
    const [first = "", ...others] = this.metrics;
    return others.length ? `${shownName(first)} and ${formatCount(others.length)} more` : shownName(first);
  }

  /**
   * @param {View} view
   * @param {Slot[]} slots
   */
  show(view, slots) {
    this.#slots = slots;
    const { dark } = this.app.theme;
    const colours = slots.map((slot) => colourOf(this.slots.of(view.overlay ? keyText(slot) : slot.run), dark));
    this.#legend.show(view, slots, colours);
    this.#plot.show(view, slots, colours);
    this.#sayOver(view);
    this.tellTheTime();
  }

  /** What is said in the middle of a chart that has nothing to draw. @param {View} view */
  #sayOver(view) {
    const series = this.#slots.flatMap(({ series: one }) => (one ? [one] : []));
    const waiting = series.length < this.#slots.length;
    const rows = series.some(({ columns }) => columns.step.length > 0);
    const positive = series.some(({ columns }) => columns.max.some((value) => value !== null && value > 0));
    let text = "";
    if (!rows && waiting) text = "Loading…";
    else if (!rows && series.every(({ state }) => state === "failed")) text = series[0]?.error?.detail ?? "No answer.";
    else if (!rows) text = view.from === null ? "No rows." : "No rows in this window.";
    else if (view.log && !positive) text = "No value above 0, so there is nothing on a logarithmic scale.";
    this.#over.textContent = text;
    this.#over.hidden = text === "";
    this.root.classList.toggle("loading", waiting);
  }

  /** Ages grow while nothing else changes. */
  tellTheTime() {
    const parts = describe(this.#slots, this.app.api.nowS());
    const text = parts.map((part) => part.text).join("|");
    if (this.#words.dataset["said"] === text) return;
    this.#words.dataset["said"] = text;
    fill(this.#words, ...parts.map((part) => el("span", { class: part.tone, text: part.text })));
  }

  /** What this chart shows, as a question. */
  #asked() {
    const { view } = this.app.store;
    return {
      origin: location.origin,
      token: this.app.api.token !== "",
      project: view.project,
      runs: view.runs,
      metrics: this.metrics,
      points: pointsFor(this.root.clientWidth, this.#slots.length),
      smooth: view.smooth,
      steps: this.#stepsOf(view),
    };
  }

  /** @param {View} view */
  #stepsOf(view) {
    if (view.from === null || view.to === null) return null;
    if (view.x === "step") return stepsOfWindow(view.from, view.to);
    return stepsOfTimes(this.#slots.flatMap(({ series }) => series ?? []), view.from, view.to);
  }

  #saveCsv() {
    const text = csvOf(this.#slots, this.app.store.view.smooth > 0);
    download(new Blob([text], { type: "text/csv;charset=utf-8" }), `${this.app.store.view.project}-${this.metrics[0] ?? ""}.csv`);
  }

  async #savePicture() {
    const canvas = this.#plot.canvas;
    const blob = canvas && (await pictureOf(canvas, this.title, this.#legend.entries, this.#words.innerText));
    if (blob) download(blob, `${this.app.store.view.project}-${this.metrics[0] ?? ""}.png`);
    else toast("There is nothing to save yet.");
  }

  close() {
    this.#plot.close();
  }
}
