/** The tree of metrics: found by name, and chosen. */

import { ApiError, isAbort } from "../base/api.js";
import { el, fill, quiet } from "../base/dom.js";
import { formatCount, shownName } from "../pure/formats.js";
import { matching, metricsBelow, treeOf } from "../pure/tree.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../types.d.ts").View} View */
/** @typedef {import("../types.d.ts").TreeNode} TreeNode */

const MOST_NAMES = 500;
const MOST = 100;
/** Small groups are open from the start. */
const OPEN_BELOW = 40;

export class Metrics {
  /** @type {string[]} */
  names = [];
  #project = "";
  #drawn = "";
  #loading = new AbortController();
  /** @type {Map<string, HTMLInputElement>} */
  #boxes = new Map();
  /** @type {Map<string, boolean>} */
  #opened = new Map();
  #search = el("input", {
    attributes: { type: "search", placeholder: "Search metrics", "aria-label": "Search metrics by name" },
    on: { input: quiet(150, () => void this.#searched()) },
  });
  #tree = el("div", { class: "rows tree", attributes: { role: "group", "aria-label": "Metrics" } });
  #count = el("span", { class: "count" });
  #none = el("button", {
    class: "quiet link",
    text: "Clear",
    attributes: { type: "button", "aria-label": "Clear metrics" },
    on: { click: () => this.#put([]) },
  });
  root = el(
    "section",
    { class: "panel" },
    el("header", {}, el("h2", { text: "Metrics" }), this.#count, el("span", { class: "spacer" }), this.#none),
    el("div", { class: "filters" }, this.#search),
    this.#tree,
  );
  /** @type {() => void} */
  onListed = () => {};

  /** @param {App} app */
  constructor(app) {
    this.app = app;
  }

  /** @param {View} view */
  open(view) {
    this.#project = view.project;
    this.names = [];
    this.#drawn = "";
    this.#search.value = "";
    fill(this.#tree, ...Array.from({ length: 5 }, () => el("div", { class: "ghost" })));
    void this.#load("");
  }

  async #searched() {
    this.show(this.app.store.view);
    // What came at once was not all: the others are searched where they are.
    if (this.names.length >= MOST_NAMES && this.#search.value.trim()) await this.#load(this.#search.value.trim());
  }

  /** @param {string} search */
  async #load(search) {
    this.#loading.abort();
    this.#loading = new AbortController();
    const query = new URLSearchParams({ projectName: this.#project, limit: String(MOST_NAMES) });
    if (search) query.set("search", search);
    try {
      const { metricNames } = await this.app.api.get(`/api/runs/metric-names?${query}`, this.#loading.signal);
      this.names = [...new Set([...this.names, ...metricNames])];
      this.show(this.app.store.view);
      this.onListed();
    } catch (error) {
      if (isAbort(error)) return;
      if (!(error instanceof ApiError)) throw error;
      this.app.banners.show(error.notice);
      if (!this.names.length) fill(this.#tree, el("p", { class: "empty", text: "The metrics can't be had just now." }));
    }
  }

  /** @param {View} view */
  show(view) {
    const all = [...new Set([...view.metrics, ...this.names])];
    const found = matching(all, this.#search.value);
    const drawn = JSON.stringify(found);
    if (drawn !== this.#drawn) this.#draw(found);
    this.#drawn = drawn;
    const chosen = new Set(view.metrics);
    for (const [name, box] of this.#boxes) box.checked = chosen.has(name);
    this.#count.textContent = chosen.size ? `${formatCount(chosen.size)} of ${formatCount(all.length)}` : formatCount(all.length);
    this.#none.hidden = chosen.size === 0;
  }

  /** @param {string[]} names */
  #draw(names) {
    this.#boxes.clear();
    const searching = this.#search.value.trim() !== "";
    const nodes = treeOf(names).map((node) => this.#node(node, searching || names.length <= OPEN_BELOW));
    fill(this.#tree, ...(nodes.length ? nodes : [el("p", { class: "empty", text: searching ? "No metric fits." : "No metrics yet." })]));
  }

  /**
   * @param {TreeNode} node
   * @param {boolean} open
   * @returns {HTMLElement}
   */
  #node(node, open) {
    const label = el("bdi", { text: shownName(node.label) });
    if (node.metric !== null) return this.#leaf(node.metric, label);
    const below = metricsBelow(node);
    const summary = el("summary", {}, label, el("span", { class: "count", text: formatCount(below.length) }));
    const box = el("details", { class: "branch" }, summary, ...node.children.map((child) => this.#node(child, open)));
    box.open = this.#opened.get(node.path) ?? (open || below.some((name) => this.app.store.view.metrics.includes(name)));
    summary.addEventListener("click", () => this.#opened.set(node.path, !box.open));
    return box;
  }

  /**
   * @param {string} metric
   * @param {HTMLElement} label
   */
  #leaf(metric, label) {
    const box = el("input", { attributes: { type: "checkbox" }, on: { change: () => this.#toggle(metric) } });
    this.#boxes.set(metric, box);
    return el("label", { class: "leaf", attributes: { title: shownName(metric) } }, box, el("span", { class: "name" }, label));
  }

  /** @param {string} metric */
  #toggle(metric) {
    const { metrics } = this.app.store.view;
    this.#put(metrics.includes(metric) ? metrics.filter((other) => other !== metric) : [...metrics, metric]);
  }

  /** @param {string[]} metrics */
  #put(metrics) {
    if (metrics.length <= MOST) this.app.store.change({ metrics });
    else this.show(this.app.store.view);
  }

  close() {
    this.#loading.abort();
  }
}
