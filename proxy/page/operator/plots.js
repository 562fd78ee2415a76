/** The last hour as small plots. */

import { el, fill } from "../base/dom.js";
import { momentLabels } from "../explorer/options.js";
import { colourOf } from "../pure/colours.js";
import { formatBytes, formatDuration, formatMoment, formatValue } from "../pure/formats.js";
import { PLANS, columnsOf } from "../pure/history.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../pure/history.js").Plan} Plan */
/** @typedef {import("../pure/history.js").Point} Point */
/** @typedef {import("uplot")} Chart */

const HEIGHT_PX = 150;
const HOUR_S = 3600;
const FORMATS = {
  rate: (/** @type {number} */ value) => formatValue(value, 3),
  count: (/** @type {number} */ value) => formatValue(value, 3),
  bytes: formatBytes,
  seconds: formatDuration,
};

export class Plots {
  /** @type {Map<Plan, SmallPlot>} */
  #plots = new Map();
  /** @type {{every_s: number, points: Point[]}} */
  #history = { every_s: 10, points: [] };
  root = el("div", { class: "small-plots" });

  /** @param {App} app */
  constructor(app) {
    this.app = app;
  }

  /** @param {{every_s: number, points: Point[]}} history */
  show(history) {
    this.#history = history;
    for (const plan of PLANS) {
      const { lines, data } = columnsOf(plan, history.points, history.every_s);
      if (!lines.length) continue;
      const plot = this.#plots.get(plan) ?? new SmallPlot(plan);
      if (!this.#plots.has(plan)) {
        this.#plots.set(plan, plot);
        fill(this.root, ...[...this.#plots.values()].map((shown) => shown.root));
      }
      plot.show(lines, data, this.app.theme.dark, this.app.api.nowS());
    }
  }

  redraw() {
    this.show(this.#history);
  }

  close() {
    for (const plot of this.#plots.values()) plot.close();
  }
}

class SmallPlot {
  /** @type {Chart | null} */
  #chart = null;
  #structure = "";
  #nowS = 0;
  #key = el("div", { class: "key" });
  #frame = el("div", { class: "small-frame" });
  #observer = new ResizeObserver(() => this.#chart?.setSize({ width: this.#frame.clientWidth, height: HEIGHT_PX }));
  root;

  /** @param {Plan} plan */
  constructor(plan) {
    this.plan = plan;
    const header = el("header", {}, el("h3", { text: plan.title }), this.#key);
    this.root = el("section", { class: "card", attributes: { "aria-label": `${plan.title}, last hour` } }, header, this.#frame);
    this.#observer.observe(this.#frame);
  }

  /**
   * @param {import("../pure/history.js").Line[]} lines
   * @param {(number | null)[][]} data
   * @param {boolean} dark
   * @param {number} nowS
   */
  show(lines, data, dark, nowS) {
    this.#nowS = nowS;
    const structure = JSON.stringify([lines, dark]);
    const aligned = /** @type {import("uplot").AlignedData} */ (data);
    if (structure === this.#structure) this.#chart?.setData(aligned, true);
    else this.#build(lines, aligned, dark);
    this.#structure = structure;
    this.#say(lines, data, (data[0]?.length ?? 0) - 1, dark);
  }

  /**
   * @param {import("../pure/history.js").Line[]} lines
   * @param {import("uplot").AlignedData} data
   * @param {boolean} dark
   */
  #build(lines, data, dark) {
    this.#chart?.destroy();
    const styles = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ name) => styles.getPropertyValue(name).trim();
    const format = FORMATS[this.plan.unit];
    const grid = { stroke: colour("--grid"), width: 1 };
    const common = { stroke: colour("--muted"), font: "11px system-ui, sans-serif", grid, ticks: { show: false } };
    const labels = (/** @type {Chart} */ _chart, /** @type {number[]} */ ticks) => ticks.map(format);
    this.#chart = new uPlot(
      {
        width: this.#frame.clientWidth || 300,
        height: HEIGHT_PX,
        legend: { show: false },
        padding: [8, 22, 0, 0],
        scales: {
          x: { time: true, range: () => [this.#nowS - HOUR_S, this.#nowS] },
          y: { range: (_chart, _low, high) => [0, high > 0 ? high * 1.1 : 1] },
        },
        axes: [
          { ...common, size: 24, gap: 3, values: momentLabels },
          { ...common, size: 58, gap: 4, values: labels },
        ],
        series: [{}, ...lines.map((_, place) => ({ stroke: colourOf(place, dark), width: 1.5, points: { show: false } }))],
        cursor: { y: false, drag: { x: false, y: false }, sync: { key: "hour", setSeries: false } },
        hooks: { setCursor: [(chart) => this.#say(lines, data, chart.cursor.idx ?? chart.data[0].length - 1, dark)] },
      },
      data,
      this.#frame,
    );
  }

  /**
   * Say the values of a moment in the head.
   * @param {import("../pure/history.js").Line[]} lines
   * @param {ArrayLike<ArrayLike<number | null | undefined>>} _data
   * @param {number} place
   * @param {boolean} dark
   */
  #say(lines, _data, place, dark) {
    const data = this.#chart?.data;
    const format = FORMATS[this.plan.unit];
    const entries = lines.map(({ label }, line) => {
      const swatch = el("span", { class: "swatch" });
      swatch.style.background = colourOf(line, dark);
      const value = data?.[line + 1]?.[place];
      return el("span", { class: "entry" }, swatch, label, el("b", { text: typeof value === "number" ? format(value) : "–" }));
    });
    fill(this.#key, ...entries);
    const at = data?.[0][place];
    this.#key.title = typeof at === "number" ? formatMoment(at) : "";
  }

  close() {
    this.#observer.disconnect();
    this.#chart?.destroy();
  }
}
