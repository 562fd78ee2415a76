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
      { field: "hits", label: "stored" },
      { field: "computed", label: "computed" },
      { field: "stale", label: "stale" },
      { field: "asked", label: "asked" },
      { field: "errors", label: "errors" },
    ],
  },
  {
    title: "Upstream calls a second",
    unit: "rate",
    lines: [
      { field: "calls", label: "made" },
      { field: "calls_saved", label: "saved" },
      { field: "failed", label: "failed" },
    ],
  },
  {
    title: "How long answers took",
    unit: "seconds",
    lines: [
      { field: "p50_s", label: "half within" },
      { field: "p99_s", label: "99 % within" },
      { field: "call_p50_s", label: "half of calls" },
    ],
  },
  {
    title: "The upstream's budget",
    unit: "count",
    lines: [
      { field: "budget", label: "left at once" },
      { field: "rate_per_s", label: "calls a second" },
      { field: "in_line", label: "in line" },
    ],
  },
  {
    title: "Who listens",
    unit: "count",
    lines: [
      { field: "streams", label: "event streams" },
      { field: "watched", label: "series watched" },
    ],
  },
  {
    title: "Held",
    unit: "bytes",
    lines: [
      { field: "memory_bytes", label: "answers" },
      { field: "series_bytes", label: "series" },
      { field: "disk_bytes", label: "on disk" },
    ],
  },
]);

const SUCCESS = /^[23]\d\d$/;

/**
 * Add to a point what is drawn and not in it as such: sums over its tables, and seconds.
 * @param {Point} point
 * @returns {Point}
 */
export function enriched(point) {
  const number = (/** @type {string} */ field) => (typeof point[field] === "number" ? Number(point[field]) : null);
  const seconds = (/** @type {string} */ field) => (number(field) === null ? null : Number(point[field]) / 1000);
  const results = Object.entries(/** @type {Record<string, number>} */ (point["calls_by_result"] ?? {}));
  const waiting = Object.values(/** @type {Record<string, number>} */ (point["waiting"] ?? {}));
  const misses = number("misses");
  return {
    ...point,
    asked: misses === null ? null : misses + (number("collapsed") ?? 0),
    failed: results.filter(([result]) => !SUCCESS.test(result)).reduce((sum, [, count]) => sum + count, 0),
    in_line: waiting.reduce((sum, count) => sum + count, 0),
    p50_s: seconds("p50_ms"),
    p99_s: seconds("p99_ms"),
    call_p50_s: seconds("call_p50_ms"),
  };
}

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
  const [own, asked] = [["hits", "computed", "stale"], ["misses", "collapsed"]].map((fields) =>
    fields.reduce((sum, field) => sum + total(points, field), 0),
  );
  return own || asked ? Number(own) / (Number(own) + Number(asked)) : null;
}
