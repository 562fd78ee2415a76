/** A chart's drawing: made by uPlot, with bands and marks of our own; zoomed by dragging, read with the pointer or the keyboard. */

import { el, fill } from "../base/dom.js";
import { formatCount, formatMoment } from "../pure/formats.js";
import { join, rowAt, xsOf, ysOf } from "../pure/joining.js";
import { boundsOfX, boundsOfY, padded } from "../pure/ranges.js";
import { keyText } from "../pure/requests.js";
import { optionsOf } from "./options.js";
import { paintBands, paintMarks } from "./paint.js";
import { steer } from "./steering.js";
import { Tip } from "./tip.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../types.d.ts").View} View */
/** @typedef {import("../types.d.ts").Slot} Slot */
/** @typedef {import("../types.d.ts").Series} Series */
/** @typedef {import("./legend.js").Legend} Legend */
/** @typedef {import("uplot")} Chart */

const LEAST_DRAG_PX = 4;

export class Plot {
  /** @type {Chart | null} */
  #chart = null;
  #structure = "";
  /** @type {Map<number, number>} from x values to their places on the axis */
  #places = new Map();
  /** @type {[number, number]} */
  #boundsX = [0, 1];
  /** @type {[number, number]} */
  #boundsY = [0, 1];
  #tip = new Tip();
  #said = el("p", { class: "away", attributes: { "aria-live": "polite" } });
  #frame = el("div", { class: "frame" });
  #observer = new ResizeObserver(() => this.#fit());
  root;

  /**
   * @param {App} app
   * @param {string} title
   * @param {Legend} legend
   */
  constructor(app, title, legend) {
    this.app = app;
    this.legend = legend;
    /** @type {Slot[]} */
    this.slots = [];
    /** @type {string[]} */
    this.colours = [];
    this.view = app.store.view;
    const how = "arrow keys read values, plus and minus zoom, Escape shows all";
    const attributes = { tabindex: 0, role: "group", "aria-roledescription": "chart", "aria-label": `${title}; ${how}` };
    this.root = el("div", { class: "plot", attributes, on: { keydown: (/** @type {KeyboardEvent} */ event) => this.#key(event) } });
    this.root.addEventListener("blur", () => this.#leave());
    fill(this.root, this.#frame, this.#said);
    this.#observer.observe(this.#frame);
  }

  get canvas() {
    return this.#chart?.ctx.canvas ?? null;
  }

  /** All series that have come. */
  get series() {
    return this.slots.flatMap(({ series }) => (series ? [series] : []));
  }

  /**
   * @param {View} view
   * @param {Slot[]} slots
   * @param {string[]} colours
   */
  show(view, slots, colours) {
    Object.assign(this, { view, slots, colours });
    const data = this.#data();
    const { dark } = this.app.theme;
    const how = [view.x, view.log, view.smooth > 0, view.line, dark];
    const structure = JSON.stringify([slots.map(keyText), colours, how]);
    if (this.#chart !== null && structure === this.#structure) this.#chart.setData(data, true);
    else this.#build(data, structure);
  }

  /** @returns {any} what uPlot draws */
  #data() {
    const { view } = this;
    const parts = this.slots.flatMap(({ series }) => {
      const columns = series?.columns;
      const xs = columns ? xsOf(columns, view.x) : [];
      const lines = /** @type {("mean" | "last" | "smoothed")[]} */ (view.smooth ? [view.line, "smoothed"] : [view.line]);
      return lines.map((line) => ({ xs, ys: columns ? ysOf(columns, line, view.log) : [] }));
    });
    const data = join(parts);
    this.#places = new Map(data[0].map((x, place) => [x, place]));
    const whole = boundsOfX(this.series, view.x);
    const zoom = /** @type {[number, number] | null} */ (view.from === null ? null : [view.from, view.to]);
    this.#boundsX = zoom ?? whole ?? [0, 1];
    this.#boundsY = padded(boundsOfY(this.series, view, ...this.#boundsX), view.log);
    return data;
  }

  /**
   * @param {any} data
   * @param {string} structure
   */
  #build(data, structure) {
    this.#chart?.destroy();
    this.#structure = structure;
    const options = optionsOf({
      view: this.view,
      slots: this.slots,
      colours: this.colours,
      size: this.#size(),
      rangeX: () => this.#boundsX,
      rangeY: () => this.#boundsY,
      placeOf: (slot, x) => this.#placeOf(slot, x),
      reset: () => this.app.store.change({ from: null, to: null }),
      hooks: {
        drawClear: [(chart) => void (this.view.band && paintBands(chart, this.slots, this.colours, this.view.x))],
        draw: [(chart) => paintMarks(chart, this.slots, this.colours, this.view.x)],
        setSelect: [(chart) => this.#select(chart)],
        setCursor: [(chart) => this.#read(chart)],
      },
    });
    this.#chart = new uPlot(options, data, this.#frame);
    this.#chart.over.append(this.#tip.root);
    // For who looks with the browser's tools: what is drawn, and of which series.
    Object.assign(this.root, { drawn: { chart: this.#chart, slots: () => this.slots } });
  }

  #size() {
    return { width: Math.max(200, this.#frame.clientWidth), height: Math.max(120, this.#frame.clientHeight) };
  }

  #fit() {
    const { width, height } = this.#size();
    if (this.#chart !== null && (this.#chart.width !== width || this.#chart.height !== height)) {
      this.#chart.setSize({ width, height });
    }
  }

  /**
   * Return where on the axis a series has the bucket that holds `x`; null where it has none.
   * @param {Slot | undefined} slot
   * @param {number} x
   */
  #placeOf(slot, x) {
    if (!slot?.series) return null;
    const row = rowAt(slot.series, this.view.x, x);
    const at = row < 0 ? null : xsOf(slot.series.columns, this.view.x)[row];
    return typeof at === "number" ? (this.#places.get(at) ?? null) : null;
  }

  /** @param {Chart} chart */
  #select(chart) {
    const { left, width } = chart.select;
    if (width >= LEAST_DRAG_PX) this.zoom(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
    chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  }

  /**
   * Show a window, and let finer data be asked for.
   * @param {number} from
   * @param {number} to
   */
  zoom(from, to) {
    if (this.view.x === "step") {
      const low = Math.max(0, Math.floor(from));
      this.app.store.change({ from: low, to: Math.max(low + 1, Math.ceil(to)) });
    } else if (to - from > 0.01) {
      this.app.store.change({ from: Math.round(from * 1000) / 1000, to: Math.round(to * 1000) / 1000 });
    }
  }

  /** @param {Chart} chart */
  #read(chart) {
    const { idx, left = -1, top = -1 } = chart.cursor;
    const x = typeof idx === "number" && left >= 0 ? chart.data[0][idx] : undefined;
    this.legend.read(x ?? null);
    const here = chart.over.matches(":hover") || document.activeElement === this.root;
    if (x === undefined || !here) this.#tip.hide();
    else this.#tip.show(this.legend.nearest(chart.posToVal(top, "y")), this.momentOf(x), left, top, chart.over.clientWidth);
  }

  /** @param {number} x */
  momentOf(x) {
    return this.view.x === "time" ? formatMoment(x) : `Step ${formatCount(x)}`;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (this.#chart === null || event.altKey || event.ctrlKey || event.metaKey) return;
    const found = steer(event.key, this.#chart, this.#boundsX);
    if (found === null) return;
    event.preventDefault();
    if (found.kind === "all") this.app.store.change({ from: null, to: null });
    else if (found.kind === "zoom") this.zoom(found.from, found.to);
    else {
      this.#chart.setCursor({ left: found.left, top: found.top });
      this.#said.textContent = this.legend.spoken();
    }
  }

  #leave() {
    this.#chart?.setCursor({ left: -10, top: -10 });
    this.#tip.hide();
  }

  /**
   * Let one series stand out.
   * @param {number | null} place
   */
  point(place) {
    const lines = this.view.smooth ? 2 : 1;
    this.#chart?.setSeries(place === null ? null : 1 + place * lines + lines - 1, { focus: true });
  }

  close() {
    this.#observer.disconnect();
    this.#chart?.destroy();
    this.#chart = null;
  }
}
