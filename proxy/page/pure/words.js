/** What is said under a chart: how far its series are known, how old that is, and whether any of it is a sample. */

import { counted, formatAge, formatCount } from "./formats.js";
import { countNonFinite } from "./joining.js";

/** @typedef {import("../types.d.ts").Slot} Slot */
/** @typedef {import("../types.d.ts").Series} Series */

/**
 * @param {Slot[]} slots
 * @param {number} nowS
 * @returns {{text: string, tone: "plain" | "warning"}[]} parts of a sentence, the most important first
 */
export function describe(slots, nowS) {
  const all = slots.flatMap(({ series }) => (series ? [series] : []));
  const waiting = slots.length - all.length;
  const by = (/** @type {Series["state"]} */ state) => all.filter((series) => series.state === state);
  const [complete, sampled, empty, failed] = [by("complete"), by("sampled"), by("empty"), by("failed")];
  /** @type {{text: string, tone: "plain" | "warning"}[]} */
  const parts = [];
  const say = (/** @type {string} */ text, /** @type {"plain" | "warning"} */ tone = "plain") => parts.push({ text, tone });
  if (waiting) say(`${formatCount(waiting)} of ${counted(slots.length, "series", "series")} on the way`);
  if (complete.length) say(`${ofAll(complete, all, "complete")} through ${stepsOf(complete)}`);
  if (sampled.length) {
    say(`${ofAll(sampled, all, "sampled")}: ${counted(rowsOf(sampled), "row")} of more, spikes may be missing`, "warning");
  }
  if (failed.length) say(`${ofAll(failed, all, "failed")}: ${failed[0]?.error?.title ?? "no answer"}`, "warning");
  if (empty.length) say(empty.length === all.length && !waiting ? "no rows" : `${formatCount(empty.length)} without rows`);
  const known = [...complete, ...sampled];
  if (known.length) {
    say(agesOf(known, nowS));
    say(`${counted(rowsOf(known), "row")}, ${widthsOf(known)}`);
    const other = nonFiniteOf(known);
    if (other) say(other, "warning");
  }
  return parts;
}

/**
 * @param {Series[]} some
 * @param {Series[]} all
 * @param {string} state
 */
function ofAll(some, all, state) {
  return some.length === all.length ? state : `${formatCount(some.length)} of ${formatCount(all.length)} ${state}`;
}

/** @param {Series[]} all */
function rowsOf(all) {
  return all.reduce((sum, { rows }) => sum + rows, 0);
}

/** @param {Series[]} all */
function stepsOf(all) {
  const steps = all.flatMap(({ through }) => (through === null ? [] : [through]));
  const [low, high] = [Math.min(...steps), Math.max(...steps)];
  if (!steps.length) return "no step";
  return low === high ? `step ${formatCount(low)}` : `steps ${formatCount(low)} to ${formatCount(high)}`;
}

/**
 * @param {Series[]} all
 * @param {number} nowS
 */
function agesOf(all, nowS) {
  const newest = all.flatMap(({ asked_at_s: at }) => (at === null ? [] : [nowS - at]));
  if (!newest.length) return "of unknown age";
  const [least, most] = [formatAge(Math.min(...newest)), formatAge(Math.max(...newest))];
  return least === most ? `${most} old` : `${least} to ${most} old`;
}

/** @param {Series[]} all */
function widthsOf(all) {
  const width = Math.max(...all.map((series) => series.width));
  return width === 1 ? "each one drawn" : `up to ${counted(width, "step")} a point`;
}

/** @param {Series[]} all */
function nonFiniteOf(all) {
  const total = { nan: 0, inf: 0, negInf: 0 };
  for (const { columns } of all) {
    const { nan, inf, negInf } = countNonFinite(columns);
    total.nan += nan;
    total.inf += inf;
    total.negInf += negInf;
  }
  return nonFinite(total.nan, total.inf, total.negInf);
}

/**
 * @param {number} nan
 * @param {number} inf
 * @param {number} negInf
 * @returns {string} such as `2 NaN, 1 Inf`; empty where there are none
 */
export function nonFinite(nan, inf, negInf) {
  /** @type {[number, string][]} */
  const kinds = [
    [nan, "NaN"],
    [inf, "Inf"],
    [negInf, "−Inf"],
  ];
  return kinds.filter(([count]) => count).map(([count, name]) => `${formatCount(count)} ${name}`).join(", ");
}
