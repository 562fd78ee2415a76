/** The figures at the top of the proxy's view. */

import { el } from "../base/dom.js";
import { counted, formatBytes, formatCount, formatDuration, formatShare } from "../pure/formats.js";
import { hitShare, total } from "../pure/history.js";

/** @typedef {import("../pure/history.js").Point} Point */

/**
 * @param {any} state as `/admin/state` or `/readyz?verbose` tells it
 * @param {Point[]} points the last hour
 * @returns {HTMLElement[]}
 */
export function tiles(state, points) {
  return [...ofTheHour(points), upstreamTile(state), budgetTile(state), lineTile(state), ruleTile(state), storeTile(state), memoryTile(state)];
}

/** @param {Point[]} points */
function ofTheHour(points) {
  if (!points.length) return [];
  const share = hitShare(points);
  const last = points.findLast((point) => typeof point["p50_s"] === "number") ?? {};
  const stale = total(points, "stale");
  const found = [
    tile("Answered from here", share === null ? "–" : formatShare(share), "of the last hour's answers"),
    tile("Upstream calls saved", formatCount(total(points, "calls_saved")), `${formatCount(total(points, "calls"))} made in the last hour`),
  ];
  if (typeof last["p50_s"] === "number") {
    const [half, most] = [last["p50_s"], last["p99_s"]].map((value) => (typeof value === "number" ? formatDuration(value) : "–"));
    found.push(tile("Half answered within", half ?? "–", `99 % within ${most}`));
  }
  return [...found, tile("Stale answers", formatCount(stale), "in the last hour", stale ? "warn" : "")];
}

/** @param {any} state */
function upstreamTile({ upstream }) {
  const words = /** @type {Record<string, string>} */ ({ open: "Answering", closed: "Answering", cooling: "Resting", probing: "Being tried" });
  const { condition, state, cooldown_remaining_s: rest, calls, retries, unreachable } = upstream;
  const text = unreachable ? "Unreachable" : (words[state] ?? state);
  const told = rest > 0 ? `asked again in ${formatDuration(rest)}` : `${counted(calls, "call")} since the start, ${formatCount(retries)} again`;
  return tile("Pluto", text, told, unreachable || state !== "closed" || condition !== "open" ? "bad" : "good");
}

/** @param {any} state */
function budgetTile({ upstream }) {
  return tile("Budget left", `${formatCount(Math.floor(upstream.tokens))} of ${formatCount(upstream.burst)}`, `${upstream.rate_per_s} calls a second`);
}

/** @param {any} state */
function lineTile({ upstream }) {
  const { person, refresh, prefetch } = upstream.waiting;
  const waiting = person + refresh + prefetch;
  const told = waiting ? `${formatCount(person)} for people, wait ${formatDuration(upstream.expected_wait_s.person)}` : "nobody waits";
  return tile("In line", formatCount(waiting), `${formatCount(upstream.in_flight)} under way, ${told}`);
}

/** @param {any} state */
function ruleTile({ series }) {
  const told = `${counted(series.checks_passed, "check")} passed, ${formatCount(series.checks_failed)} failed`;
  return tile("Sampling rule", series.trusted ? "Trusted" : "Not trusted", told, series.trusted ? "good" : "bad");
}

/** @param {any} state */
function storeTile({ store }) {
  const fine = store.disk === "ok" || store.disk === "off";
  return tile("On disk", formatBytes(store.disk_bytes ?? 0), `${counted(store.disk_entries ?? 0, "answer")}, ${store.disk}`, fine ? "" : "bad");
}

/** @param {any} state */
function memoryTile({ store, series_bytes: series }) {
  const told = series === undefined ? "" : `, series ${formatBytes(series)}`;
  return tile("In memory", formatBytes(store.memory_bytes), `${counted(store.memory_entries, "answer")}${told}`);
}

/**
 * @param {string} title
 * @param {string} value
 * @param {string} told
 * @param {"" | "good" | "warn" | "bad"} [tone]
 */
function tile(title, value, told, tone = "") {
  return el("div", { class: `tile ${tone}` }, el("h3", { text: title }), el("p", { class: "value", text: value }), el("p", { class: "told", text: told }));
}
