/** The view as a text after `#`, and back. Nothing else holds what is shown, so a link restores it. */

/** @typedef {import("../types.d.ts").View} View */

const MOST_RUNS = 200;
const MOST_METRICS = 200;
const LONGEST_SMOOTH = 1e9;

/** @type {Readonly<View>} */
export const DEFAULT_VIEW = Object.freeze({
  tab: "explore",
  project: "",
  runs: [],
  metrics: [],
  x: "step",
  log: false,
  smooth: 0,
  line: "mean",
  band: true,
  overlay: false,
  from: null,
  to: null,
});

/**
 * @param {View} view
 * @returns {string} such as `#/explore?project=demo&runs=1,2&metric=loss`; what is as by default is left out
 */
export function encodeView(view) {
  /** @type {[string, string][]} */
  const pairs = [];
  if (view.project) pairs.push(["project", view.project]);
  if (view.runs.length) pairs.push(["runs", view.runs.join(",")]);
  for (const metric of view.metrics) pairs.push(["metric", metric]);
  if (view.x !== "step") pairs.push(["x", view.x]);
  if (view.log) pairs.push(["log", "1"]);
  if (view.smooth > 0) pairs.push(["smooth", String(view.smooth)]);
  if (view.line !== "mean") pairs.push(["line", view.line]);
  if (!view.band) pairs.push(["band", "0"]);
  if (view.overlay) pairs.push(["overlay", "1"]);
  if (view.from !== null && view.to !== null) pairs.push(["from", String(view.from)], ["to", String(view.to)]);
  const query = pairs.map(([name, value]) => `${name}=${encode(value)}`).join("&");
  return `#/${view.tab}${query ? `?${query}` : ""}`;
}

/**
 * @param {string} hash what an address has after it, `#` included; anything may stand there
 * @returns {View}
 */
export function decodeView(hash) {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const given = new URLSearchParams(query);
  const smooth = Number(given.get("smooth") ?? 0);
  return {
    tab: path === "proxy" ? "proxy" : "explore",
    project: given.get("project") ?? "",
    runs: distinct((given.get("runs") ?? "").split(",").filter((run) => /^\d{1,19}$/.test(run))).slice(0, MOST_RUNS),
    metrics: distinct(given.getAll("metric").filter(Boolean)).slice(0, MOST_METRICS),
    x: given.get("x") === "time" ? "time" : "step",
    log: given.get("log") === "1",
    smooth: smooth > 0 && smooth <= LONGEST_SMOOTH ? smooth : 0,
    line: given.get("line") === "last" ? "last" : "mean",
    band: given.get("band") !== "0",
    overlay: given.get("overlay") === "1",
    ...readWindow(given.get("from"), given.get("to")),
  };
}

/**
 * @param {string | null} from
 * @param {string | null} to
 * @returns {{from: number | null, to: number | null}} both, or neither
 */
function readWindow(from, to) {
  const [low, high] = [from, to].map((text) => (text ? Number(text) : NaN));
  const good = Number.isFinite(low) && Number.isFinite(high) && Number(low) < Number(high) && Number(high) >= 0;
  return good ? { from: Number(low), to: Number(high) } : { from: null, to: null };
}

/** @param {string[]} texts */
function distinct(texts) {
  return [...new Set(texts)];
}

/**
 * Commas and slashes stay readable. Half of a surrogate pair becomes U+FFFD.
 * @param {string} text
 */
function encode(text) {
  return encodeURIComponent(text.toWellFormed()).replaceAll("%2F", "/").replaceAll("%2C", ",");
}
