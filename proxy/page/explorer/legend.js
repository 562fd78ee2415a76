/** The table under a chart: every series with its value where the pointer is, else its last one. */

import { el, fill } from "../base/dom.js";
import { formatCount, formatMoment, formatValue } from "../pure/formats.js";
import { rowAt } from "../pure/joining.js";
import { nonFinite } from "../pure/words.js";

/** @typedef {import("../types.d.ts").View} View */
/** @typedef {import("../types.d.ts").Slot} Slot */
/** @typedef {import("../types.d.ts").Series} Series */
/** @typedef {{label: string, colour: string, value: number | null, text: string, others: string}} Entry */
/** @typedef {{row: HTMLElement, cells: HTMLElement[], swatch: HTMLElement, label: HTMLElement}} Line */

/** @type {{value: number | null, others: string, low: number | null, high: number | null, rows: number | null}} */
const NOTHING = { value: null, others: "", low: null, high: null, rows: null };

export class Legend {
  /** @type {Entry[]} */
  entries = [];
  #where = el("th", { text: "Last", attributes: { scope: "col" } });
  #body = el("tbody");
  #head;
  /** @type {Line[]} */
  #lines = [];
  /** @type {Slot[]} */
  #slots = [];
  /** @type {string[]} */
  #colours = [];
  /** @type {View | null} */
  #view = null;
  /** @type {number | null} */
  #x = null;
  root;
  /** @type {(place: number | null) => void} */
  onPoint = () => {};

  constructor() {
    const names = ["Min", "Max", "Rows"].map((text) => el("th", { text, attributes: { scope: "col" } }));
    this.#head = el("th", { text: "Run", attributes: { scope: "col" } });
    const table = el("table", {}, el("thead", {}, el("tr", {}, this.#head, this.#where, ...names)), this.#body);
    this.root = el("div", { class: "legend" }, table);
    this.root.addEventListener("mouseleave", () => this.onPoint(null));
  }

  /**
   * @param {View} view
   * @param {Slot[]} slots
   * @param {string[]} colours
   */
  show(view, slots, colours) {
    [this.#view, this.#slots, this.#colours] = [view, slots, colours];
    if (this.#lines.length !== slots.length) {
      this.#lines = slots.map((_, place) => this.#line(place));
      fill(this.#body, ...this.#lines.map(({ row }) => row));
    }
    this.#head.textContent = slots.length > 1 ? `${formatCount(slots.length)} series` : "Run";
    this.read(this.#x);
  }

  /**
   * @param {number} place
   * @returns {Line}
   */
  #line(place) {
    const swatch = el("span", { class: "swatch" });
    const label = el("bdi");
    const cells = Array.from({ length: 4 }, () => el("td"));
    const name = el("th", { attributes: { scope: "row" } }, el("div", { class: "who" }, swatch, el("span", { class: "name" }, label)));
    const row = el("tr", { on: { mouseenter: () => this.onPoint(place) } }, name, ...cells);
    return { row, cells, swatch, label };
  }

  /**
   * Say the values at a place on the axis; the last ones where it is null.
   * @param {number | null} x
   */
  read(x) {
    const view = this.#view;
    if (view === null) return;
    this.#x = x;
    this.#where.textContent = x === null ? "Last" : view.x === "time" ? formatMoment(x) : `Step ${formatCount(x)}`;
    this.entries = this.#slots.map((slot, place) => this.#entry(view, slot, place));
  }

  /**
   * @param {View} view
   * @param {Slot} slot
   * @param {number} place
   * @returns {Entry}
   */
  #entry(view, { label, series }, place) {
    const colour = this.#colours[place] ?? "";
    const found = series === undefined ? NOTHING : this.#valuesOf(view, series);
    const text = found.value === null && found.others ? found.others : formatValue(found.value);
    const rows = found.rows === null ? "–" : formatCount(found.rows);
    const told = found.others && found.value !== null ? `${rows} (${found.others})` : rows;
    const line = this.#lines[place];
    if (line !== undefined) {
      write(line, [text, formatValue(found.low), formatValue(found.high), told]);
      line.swatch.style.background = colour;
      if (line.label.textContent !== label) line.row.title = line.label.textContent = label;
      line.row.className = series === undefined ? "waiting" : series.state;
    }
    return { label, colour, value: found.value, text, others: found.others };
  }

  /**
   * @param {View} view
   * @param {Series} series
   */
  #valuesOf(view, { columns, ...series }) {
    const x = this.#x;
    const row = x === null ? columns.step.length - 1 : rowAt({ columns, ...series }, view.x, x);
    if (row < 0) return { ...NOTHING, rows: x === null ? series.rows : 0 };
    const at = (/** @type {(number | null)[] | undefined} */ values) => values?.[row] ?? null;
    const value = at(view.smooth ? columns.smoothed : columns[x === null ? "last" : view.line]);
    const others = nonFinite(columns.nan[row] ?? 0, columns.inf[row] ?? 0, columns.neg_inf[row] ?? 0);
    if (x !== null) return { value, others, low: at(columns.min), high: at(columns.max), rows: columns.count[row] ?? 0 };
    const [low, high] = extremes(columns);
    return { value, others, low, high, rows: series.rows };
  }

  /**
   * Return the entries nearest to a value, the greatest first.
   * @param {number} y
   * @param {number} [most]
   */
  nearest(y, most = 10) {
    const distance = (/** @type {Entry} */ entry) => (entry.value === null ? Infinity : Math.abs(entry.value - y));
    const worth = this.entries.filter(({ value, others }) => value !== null || others);
    const near = worth.sort((a, b) => distance(a) - distance(b)).slice(0, most);
    const sorted = near.sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
    return { entries: sorted, others: worth.length - sorted.length };
  }

  /** The same for who can't see it. */
  spoken() {
    const some = this.entries.slice(0, 5).map(({ label, text }) => `${label} ${text}`);
    return `${this.#where.textContent}: ${some.join(", ")}`;
  }
}

/**
 * @param {Line} line
 * @param {string[]} cells
 */
function write({ cells: elements }, cells) {
  elements.forEach((element, column) => {
    const cell = cells[column] ?? "";
    if (element.textContent !== cell) element.textContent = cell;
  });
}

/** @param {import("../types.d.ts").Columns} columns */
function extremes({ min, max }) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of min) if (value !== null && value < low) low = value;
  for (const value of max) if (value !== null && value > high) high = value;
  return low <= high ? [low, high] : [null, null];
}
