/** From where to where the axes go, and which steps a window over time needs. */

/** @typedef {import("../types.d.ts").Series} Series */
/** @typedef {import("../types.d.ts").View} View */

const PADDING = 0.05;
/** What lies beyond the window's edges is asked for as well, so that lines run out of it. */
const MARGIN = 0.02;

/**
 * Return the bounds of y over the buckets between two x values. The least and greatest values count, not only the line.
 * @param {Series[]} all
 * @param {{x: "step" | "time", log: boolean, band: boolean, line: "mean" | "last", smooth: number}} view
 * @param {number} from
 * @param {number} to
 * @returns {[number, number] | null} null where there is nothing
 */
export function boundsOfY(all, view, from, to) {
  let [low, high] = [Infinity, -Infinity];
  const put = (/** @type {number | null | undefined} */ y) => {
    if (typeof y !== "number" || (view.log && y <= 0)) return;
    if (y < low) low = y;
    if (y > high) high = y;
  };
  for (const { columns, width } of all) {
    const xs = view.x === "time" ? columns.time : columns.step;
    const reach = view.x === "time" ? 0 : width;
    xs.forEach((x, row) => {
      if (x === null || x + reach < from || x > to) return;
      if (view.band) [columns.min[row], columns.max[row]].forEach(put);
      else put(columns[view.line][row]);
      if (view.smooth) put(columns.smoothed?.[row]);
    });
  }
  return low <= high ? [low, high] : null;
}

/**
 * Leave some room above and below.
 * @param {[number, number] | null} bounds
 * @param {boolean} log
 * @returns {[number, number]}
 */
export function padded(bounds, log) {
  if (bounds === null) return log ? [0.1, 10] : [0, 1];
  const [low, high] = bounds;
  if (log) return low === high ? [low / 2, high * 2] : [low / (high / low) ** PADDING, high * (high / low) ** PADDING];
  const room = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * PADDING;
  const [bottom, top] = [low - room, high + room];
  // Near the largest double the room itself may be too much.
  return [Number.isFinite(bottom) ? bottom : low, Number.isFinite(top) ? top : high];
}

/**
 * Return the bounds of x over all buckets, null where there are none.
 * @param {Series[]} all
 * @param {"step" | "time"} x
 * @returns {[number, number] | null}
 */
export function boundsOfX(all, x) {
  let [low, high] = [Infinity, -Infinity];
  for (const { columns, through } of all) {
    for (const value of x === "time" ? columns.time : columns.step) {
      if (value === null) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (x === "step" && columns.step.length && through !== null && through > high) high = through;
  }
  if (low > high) return null;
  return low === high ? [low - 1, high + 1] : [low, high];
}

/**
 * Return the steps to ask for so that a window is filled, with a margin.
 * @param {number} from
 * @param {number} to
 * @returns {{stepMin: number, stepMax: number}}
 */
export function stepsOfWindow(from, to) {
  const margin = Math.ceil((to - from) * MARGIN);
  return { stepMin: Math.max(0, Math.floor(from) - margin), stepMax: Math.max(0, Math.ceil(to) + margin) };
}

/**
 * Return the steps that some series have in a window over time, by what is known of them roughly; null where nothing is there.
 * @param {Series[]} all
 * @param {number} from
 * @param {number} to
 * @returns {{stepMin: number, stepMax: number} | null}
 */
export function stepsOfTimes(all, from, to) {
  let [low, high] = [Infinity, -Infinity];
  for (const { columns, width, through } of all) {
    columns.time.forEach((time, row) => {
      if (time === null || time > to) return;
      const step = columns.step[row] ?? 0;
      // A bucket reaches to the next one's time: the one before the window may reach into it.
      const next = columns.time[row + 1] ?? (through === null ? time : Infinity);
      if (next < from) return;
      low = Math.min(low, step);
      high = Math.max(high, step + 2 * width);
    });
  }
  return low <= high ? { stepMin: low, stepMax: high } : null;
}
