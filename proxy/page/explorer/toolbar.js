/** How charts are drawn: the axes, smoothing, lines; and whether they grow by themselves. */

import { copy } from "../base/files.js";
import { attribute, el, fill } from "../base/dom.js";
import { formatCount } from "../pure/formats.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../types.d.ts").View} View */
/** @typedef {import("./charts.js").Charts} Charts */

const SMOOTHINGS = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];

export class Toolbar {
  #smooth = el("input", {
    attributes: { type: "range", id: "smooth", min: 0, max: SMOOTHINGS.length - 1, step: 1 },
    on: { input: () => this.#change({ smooth: SMOOTHINGS[this.#smooth.valueAsNumber] ?? 0 }) },
  });
  #told = el("output", { attributes: { for: "smooth" } });
  #reset = el("button", {
    text: "Show all",
    attributes: { type: "button", title: "End the zoom (or double-click a chart)" },
    on: { click: () => this.app.store.change({ from: null, to: null }) },
  });
  #x = segmented("X axis", ["step", "time"], (x) => this.#change({ x, from: null, to: null }));
  #line = segmented("Line", ["mean", "last"], (line) => this.#change({ line }));
  #log = checkbox("Log", "A logarithmic scale", (log) => this.#change({ log }));
  #band = checkbox("Min–max", "The least and greatest value behind the line", (band) => this.#change({ band }));
  #overlay = checkbox("Overlay", "All metrics in one chart", (overlay) => this.#change({ overlay }));
  root;

  /**
   * @param {App} app
   * @param {Charts} charts
   */
  constructor(app, charts) {
    this.app = app;
    const link = el("button", {
      class: "quiet labelled",
      text: "Copy link",
      attributes: { type: "button" },
      on: { click: () => void copy(location.href, "a link to this view") },
    });
    this.root = el(
      "div",
      { class: "toolbar", attributes: { role: "toolbar", "aria-label": "How charts are drawn" } },
      this.#x.root,
      this.#line.root,
      el("span", { class: "smoothing" }, el("label", { text: "Smoothing", attributes: { for: "smooth" } }), this.#smooth, this.#told),
      this.#log.root,
      this.#band.root,
      this.#overlay.root,
      this.#reset,
      el("span", { class: "spacer" }),
      charts.live.root,
      link,
    );
    this.show(app.store.view);
  }

  /** @param {Partial<View>} change */
  #change(change) {
    this.app.store.change(change, { step: false });
  }

  /** @param {View} view */
  show(view) {
    this.#x.show(view.x);
    this.#line.show(view.line);
    this.#log.box.checked = view.log;
    this.#band.box.checked = view.band;
    this.#overlay.box.checked = view.overlay;
    this.#reset.hidden = view.from === null;
    const place = SMOOTHINGS.findLastIndex((smooth) => smooth <= view.smooth);
    this.#smooth.valueAsNumber = place;
    const text = view.smooth ? `${formatCount(view.smooth)} steps` : "off";
    this.#told.textContent = text;
    attribute(this.#smooth, "aria-valuetext", text);
  }
}

/**
 * A choice between a few words.
 * @template {string} T
 * @param {string} name
 * @param {T[]} options
 * @param {(option: T) => void} choose
 */
function segmented(name, options, choose) {
  const buttons = options.map((option) =>
    el("button", { text: option, attributes: { type: "button" }, on: { click: () => choose(option) } }),
  );
  const root = el("span", { class: "segmented", attributes: { role: "group", "aria-label": name } });
  fill(root, el("span", { class: "label", text: name, attributes: { "aria-hidden": "true" } }), ...buttons);
  const show = (/** @type {T} */ chosen) => {
    buttons.forEach((button, place) => attribute(button, "aria-pressed", String(options[place] === chosen)));
  };
  return { root, show };
}

/**
 * @param {string} name
 * @param {string} title
 * @param {(on: boolean) => void} change
 */
function checkbox(name, title, change) {
  const box = el("input", { attributes: { type: "checkbox" }, on: { change: () => change(box.checked) } });
  return { box, root: el("label", { class: "check", attributes: { title } }, box, name) };
}
