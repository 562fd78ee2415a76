/** How uPlot is to draw a chart. */

import { formatValue, timeLabels } from "../pure/formats.js";

/** @typedef {import("../types.d.ts").View} View */
/** @typedef {import("../types.d.ts").Slot} Slot */
/** @typedef {import("uplot")} Chart */
/** @typedef {import("uplot").Options} Options */

/**
 * @typedef {object} Wishes
 * @property {View} view
 * @property {Slot[]} slots
 * @property {string[]} colours
 * @property {{width: number, height: number}} size
 * @property {() => [number, number]} rangeX
 * @property {() => [number, number]} rangeY
 * @property {(slot: Slot | undefined, x: number) => number | null} placeOf
 * @property {() => void} reset
 * @property {import("uplot").Hooks.Arrays} hooks
 */

/** With more series, dots on all of them would only hide the lines. */
const MOST_DOTS = 24;
/** With more, the whole chart would have to be drawn again at each move of the pointer. */
const MOST_FOCUSED = 40;
/** Fewer rows than that are drawn with a dot each. */
const FEW_ROWS = 40;
const FONT = "11px system-ui, sans-serif";

/**
 * @param {Wishes} wishes
 * @returns {Options}
 */
export function optionsOf({ view, slots, colours, size, rangeX, rangeY, placeOf, reset, hooks }) {
  const lines = view.smooth ? 2 : 1;
  const slotOf = (/** @type {number} */ series) => slots[Math.floor((series - 1) / lines)];
  return {
    ...size,
    legend: { show: false },
    padding: [8, 22, 0, 0],
    scales: {
      x: { time: view.x === "time", range: () => rangeX() },
      y: { distr: view.log ? 3 : 1, range: () => rangeY() },
    },
    axes: axesOf(view),
    series: [{}, ...slots.flatMap((_, place) => seriesOf(view, colours[place] ?? "#888", slots.length))],
    focus: { alpha: 0.25 },
    cursor: {
      x: true,
      y: false,
      drag: { x: true, y: false, setScale: false },
      focus: { prox: slots.length <= MOST_FOCUSED ? 16 : -1 },
      points: { show: slots.length <= MOST_DOTS, size: 6 },
      dataIdx: (_chart, series, closest, x) => (series === 0 ? closest : placeOf(slotOf(series), x)),
      bind: { dblclick: () => () => (reset(), null) },
      sync: { key: `charts-${view.x}`, setSeries: false, filters: { pub: isPointing } },
    },
    hooks,
  };
}

/** Charts share where the pointer is, and nothing else. @param {string} type of an event */
function isPointing(type) {
  return type === "mousemove" || type === "mouseleave";
}

/** Of more lines than this, each is as thin as it can be: others take browsers without a graphics card 20 times as long. */
const MANY = 50;

/**
 * A line, and with smoothing the raw one behind it.
 * @param {View} view
 * @param {string} colour
 * @param {number} among how many
 */
function seriesOf(view, colour, among) {
  const hairline = 1 / devicePixelRatio;
  const width = among > MANY ? hairline : among > 20 ? 1 : 1.5;
  const dots = { show: fewRows, size: 4, width: 0, fill: colour };
  const line = { stroke: colour, width, points: dots };
  if (!view.smooth) return [line];
  return [
    { ...line, width: 1, alpha: 0.35, points: { ...dots, size: 3 } },
    { ...line, width: among > MANY ? hairline : width + 0.5, points: { ...dots, show: () => false } },
  ];
}

/**
 * @param {Chart} chart
 * @param {number} series
 * @param {number} first
 * @param {number} last
 */
function fewRows(chart, series, first, last) {
  const column = chart.data[series] ?? [];
  let rows = 0;
  for (let place = first; place <= last; place += 1) {
    if (column[place] !== undefined && column[place] !== null) rows += 1;
    if (rows > FEW_ROWS) return false;
  }
  return true;
}

/** @param {View} view */
function axesOf(view) {
  const styles = getComputedStyle(document.documentElement);
  const colour = (/** @type {string} */ name) => styles.getPropertyValue(name).trim();
  const common = {
    stroke: colour("--muted"),
    font: FONT,
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { stroke: colour("--grid"), width: 1, size: 4 },
  };
  return [
    { ...common, size: 28, gap: 4, ...(view.x === "step" ? { values: stepLabels, incrs: wholeSteps() } : { values: momentLabels }) },
    { ...common, gap: 4, values: valueLabels, size: roomForLabels },
  ];
}

/**
 * @param {Chart} _chart
 * @param {number[]} ticks
 */
export function momentLabels(_chart, ticks) {
  return timeLabels(ticks, (ticks[1] ?? 0) - (ticks[0] ?? 0) || 1);
}

/**
 * @param {Chart} _chart
 * @param {(number | null)[]} ticks
 */
function valueLabels(_chart, ticks) {
  return ticks.map((tick) => (tick === null ? "" : formatValue(tick, 6)));
}

/**
 * @param {Chart} _chart
 * @param {string[] | null} labels
 */
function roomForLabels(_chart, labels) {
  return 18 + 6 * Math.max(2, ...(labels ?? []).map((label) => (label ?? "").length));
}

/** @type {[number, number, string][]} */
const UNITS = [
  [1e10, 1e9, "G"],
  [1e7, 1e6, "M"],
  [1e5, 1e3, "k"],
  [0, 1, ""],
];

/**
 * @param {Chart} _chart
 * @param {number[]} ticks
 */
function stepLabels(_chart, ticks) {
  const largest = Math.max(...ticks.map(Math.abs));
  const [, divisor, unit] = UNITS.find(([from]) => largest >= from) ?? [0, 1, ""];
  const format = (/** @type {number} */ tick) => Number((tick / divisor).toPrecision(12)).toLocaleString("en-US", { maximumFractionDigits: 6 });
  return ticks.map((tick) => (tick ? `${format(tick)}${unit}` : "0"));
}

function wholeSteps() {
  return Array.from({ length: 18 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();
}
