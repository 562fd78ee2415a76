/** What the last hour was like, from the points of `/admin/history`. */

/** @typedef {Record<string, unknown>} Point */
/** @typedef {{field: string, label: string}} Line */
/** @typedef {{title: string, unit: "rate" | "bytes" | "seconds" | "count", lines: Line[]}} Plan */

/** Fields that are counts of an interval, and so become rates; the others are states at its end. */
export const PLANS = /** @type {Plan[]} */ ([
  {
    title: "Answers a second",
    unit: "rate",
    lines: [
      { field: "hits", label: "from the store" },
      { field: "stale", label: "stale" },
      { field: "misses", label: "asked for" },
      { field: "errors", label: "errors" },
    ],
  },
  {
    title: "Upstream calls a second",
    unit: "rate",
    lines: [
      { field: "calls", label: "made" },
      { field: "saved", label: "saved" },
      { field: "call_errors", label: "failed" },
    ],
  },
  {
    title: "How long answers took",
    unit: "seconds",
    lines: [
      { field: "p50_s", label: "half within" },
      { field: "p99_s", label: "99 % within" },
    ],
  },
  {
    title: "The upstream's budget",
    unit: "count",
    lines: [
      { field: "tokens", label: "calls at once left" },
      { field: "rate_per_s", label: "calls a second" },
      { field: "waiting", label: "in line" },
    ],
  },
  {
    title: "Held",
    unit: "bytes",
    lines: [
      { field: "memory_bytes", label: "answers in memory" },
      { field: "series_bytes", label: "series in memory" },
      { field: "disk_bytes", label: "on disk" },
    ],
  },
]);

/**
 * Return a plan's columns for uPlot: the moments, and a column for each line that any point knows of.
 * @param {Plan} plan
 * @param {Point[]} points
 * @param {number} everyS
 * @returns {{lines: Line[], data: (number | null)[][]}}
 */
export function columnsOf(plan, points, everyS) {
  const lines = plan.lines.filter(({ field }) => points.some((point) => typeof point[field] === "number"));
  const spaced = withGaps(points, everyS);
  const divisor = plan.unit === "rate" ? everyS : 1;
  const column = (/** @type {string} */ field) =>
    spaced.map((point) => (typeof point[field] === "number" ? Number(point[field]) / divisor : null));
  return { lines, data: [spaced.map((point) => Number(point["at_s"])), ...lines.map(({ field }) => column(field))] };
}

/**
 * Where no points are, for the process was down, there is a gap and no line.
 * @param {Point[]} points
 * @param {number} everyS
 * @returns {Point[]}
 */
function withGaps(points, everyS) {
  return points.flatMap((point, place) => {
    const [at, before] = [Number(point["at_s"]), Number(points[place - 1]?.["at_s"] ?? NaN)];
    return at - before > 2.5 * everyS ? [{ at_s: before + everyS }, point] : [point];
  });
}

/**
 * Return the sum of a count over all points.
 * @param {Point[]} points
 * @param {string} field
 */
export function total(points, field) {
  return points.reduce((sum, point) => sum + (typeof point[field] === "number" ? Number(point[field]) : 0), 0);
}

/**
 * Return which share of the answers came without the upstream; null where nothing was asked.
 * @param {Point[]} points
 */
export function hitShare(points) {
  const [hits, stale, misses] = [total(points, "hits"), total(points, "stale"), total(points, "misses")];
  const all = hits + stale + misses;
  return all ? (hits + stale) / all : null;
}
