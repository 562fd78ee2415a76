/** Which requests bring what a view shows. */

/** @typedef {{run: string, metric: string}} Key */
/** @typedef {{runs: string[], metrics: string[]}} Batch */

/** A few runs a request, so that the first ones are drawn while the others are on their way. */
export const RUNS_A_REQUEST = 8;
/** As many as a request may name, for who waits for all of them. */
export const MOST_A_REQUEST = { runs: 100, series: 400 };
/** All series of a request may have 250,000 buckets together, and each is asked for with up to MOST_POINTS. */
const SERIES_A_REQUEST = 120;
const MOST_POINTS = 2000;
const MOST_METRICS = 40;
/** Proxies and servers between here and there may refuse longer addresses. */
const LONGEST_QUERY = 6000;

/** @param {Key} key */
export function keyText({ run, metric }) {
  return `${run}\n${metric}`;
}

/**
 * Put series into batches that are one request each: all metrics of the batch for all of its runs.
 * @param {Key[]} keys
 * @param {{runs: number, series: number}} [most] of a request
 * @returns {Batch[]}
 */
export function batchesOf(keys, most = { runs: RUNS_A_REQUEST, series: SERIES_A_REQUEST }) {
  /** @type {Map<string, string[]>} */
  const metricsOf = new Map();
  for (const { run, metric } of keys) metricsOf.set(run, [...(metricsOf.get(run) ?? []), metric]);
  /** @type {Map<string, {metrics: string[], runs: string[]}>} */
  const alike = new Map();
  for (const [run, metrics] of metricsOf) {
    const text = JSON.stringify(metrics);
    const found = alike.get(text) ?? { metrics, runs: [] };
    found.runs.push(run);
    alike.set(text, found);
  }
  return [...alike.values()].flatMap(({ runs, metrics }) =>
    pieces(metrics).flatMap((some) => {
      const atOnce = Math.min(most.runs, Math.max(1, Math.floor(most.series / some.length)));
      return chunks(runs, atOnce).map((part) => ({ runs: part, metrics: some }));
    }),
  );
}

/**
 * @param {string[]} metrics
 * @returns {string[][]} the same in order, in pieces whose names don't make an address too long
 */
function pieces(metrics) {
  /** @type {string[][]} */
  const found = [];
  let length = Infinity;
  for (const metric of metrics) {
    const more = encodeURIComponent(metric.toWellFormed()).length + 8;
    if (length + more > LONGEST_QUERY || (found.at(-1)?.length ?? 0) >= MOST_METRICS) {
      found.push([]);
      length = 0;
    }
    found.at(-1)?.push(metric);
    length += more;
  }
  return found;
}

/**
 * @template T
 * @param {T[]} list
 * @param {number} size
 * @returns {T[][]}
 */
export function chunks(list, size) {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, index) => list.slice(index * size, (index + 1) * size));
}

/**
 * Return the query of `/view/series`.
 * @param {string} project
 * @param {Batch} batch
 * @param {{points: number, smooth: number, steps: {stepMin: number, stepMax: number} | null}} options
 */
export function seriesQuery(project, batch, { points, smooth, steps }) {
  const query = new URLSearchParams([["project", project]]);
  for (const run of batch.runs) query.append("run", run);
  for (const metric of batch.metrics) query.append("metric", metric);
  query.append("points", String(points));
  if (smooth > 0) query.append("smooth", String(smooth));
  if (steps !== null) {
    query.append("stepMin", String(steps.stepMin));
    query.append("stepMax", String(steps.stepMax));
  }
  return query.toString();
}

/**
 * Return how many buckets a chart asks for: not fewer than it has pixels, or half of that where many series share it.
 * @param {number} width of the chart, in CSS pixels
 * @param {number} series in it
 */
export function pointsFor(width, series) {
  if (series > 50) return 500;
  return width > 1100 ? MOST_POINTS : 1000;
}
