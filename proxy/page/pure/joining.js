/** Series on one x axis, in the form that uPlot draws: the x values, and for each series a column of as many y values. */

/** @typedef {import("../types.d.ts").Series} Series */
/** @typedef {import("../types.d.ts").Columns} Columns */
/** @typedef {number | null | undefined} Y */

/**
 * Return the x values of a series' buckets. Those without a readable time have none: they are not drawn over time.
 * @param {Columns} columns
 * @param {"step" | "time"} x
 * @returns {(number | null)[]}
 */
export function xsOf(columns, x) {
  return x === "time" ? columns.time : columns.step;
}

/**
 * Return a column of y values. On a logarithmic scale there is no place for what isn't above 0.
 * @param {Columns} columns
 * @param {"mean" | "last" | "smoothed"} what
 * @param {boolean} log
 * @returns {(number | null)[]}
 */
export function ysOf(columns, what, log) {
  const values = columns[what] ?? [];
  return log ? values.map((value) => (value !== null && value > 0 ? value : null)) : values;
}

/**
 * Put columns on one axis. uPlot takes null for a gap, and undefined for no place of this series.
 *
 * Over time, rows of a series may share a moment or go back: they are put in order, and of several at one moment the last counts.
 * @param {{xs: (number | null)[], ys: (number | null)[]}[]} parts
 * @returns {[number[], ...Y[][]]} the x values in ascending order, and the columns in the order of `parts`
 */
export function join(parts) {
  const axis = axisOf(parts);
  const places = new Map(axis.map((x, place) => [x, place]));
  const columns = parts.map(({ xs, ys }) => {
    /** @type {Y[]} */
    const column = new Array(axis.length).fill(undefined);
    xs.forEach((x, row) => {
      const place = x === null ? undefined : places.get(x);
      if (place !== undefined) column[place] = ys[row];
    });
    return column;
  });
  return [axis, ...columns];
}

/** @param {{xs: (number | null)[]}[]} parts */
function axisOf(parts) {
  /** @type {Set<number>} */
  const seen = new Set();
  for (const { xs } of parts) for (const x of xs) if (x !== null) seen.add(x);
  return [...seen].sort((a, b) => a - b);
}

/**
 * Return the row of the bucket that holds `x`, or the nearest one; -1 where there is none. `xs` ascend, null apart.
 * @param {(number | null)[]} xs
 * @param {number} x
 */
export function nearestRow(xs, x) {
  let best = -1;
  let distance = Infinity;
  let [low, high] = [0, xs.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const here = xs[middle] ?? -Infinity;
    if (Math.abs(here - x) < distance) [best, distance] = [middle, Math.abs(here - x)];
    if (here < x) low = middle + 1;
    else high = middle - 1;
  }
  return best;
}

/**
 * Return the row of a series to show for `x` on the axis: the bucket that `x` lies in, else the nearest. It is -1 before the first
 * bucket and after the last one: there the series has nothing to say.
 * @param {Series} series
 * @param {"step" | "time"} axis
 * @param {number} x
 */
export function rowAt(series, axis, x) {
  const xs = xsOf(series.columns, axis);
  const near = nearestRow(xs, x);
  const at = xs[near];
  if (typeof at !== "number") return -1;
  const reach = axis === "step" ? series.width : 0;
  if ((near === 0 && x < at) || (near === xs.length - 1 && x > at && x >= at + reach)) return -1;
  const before = at > x ? xs[near - 1] : null;
  return typeof before === "number" && x < before + reach ? near - 1 : near;
}

/**
 * Return how many values of a series are no finite numbers, by kind.
 * @param {Columns} columns
 */
export function countNonFinite(columns) {
  const sum = (/** @type {number[]} */ counts) => counts.reduce((total, count) => total + count, 0);
  return { nan: sum(columns.nan), inf: sum(columns.inf), negInf: sum(columns.neg_inf) };
}
