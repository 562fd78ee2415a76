/** What is shown of a project that somebody opens without having chosen anything. */

/** @typedef {import("../types.d.ts").Run} Run */

const RUNS = 3;
const METRICS = 2;
/** What people look at first, as they usually call it. */
const TELLING = [/(^|\/)loss$/i, /loss/i, /acc/i, /reward/i];

/**
 * @param {Run[]} runs the latest first
 * @param {string[]} names
 * @returns {{runs: string[], metrics: string[]} | null} null where there is nothing to choose from
 */
export function firstChoice(runs, names) {
  if (!runs.length || !names.length) return null;
  const running = runs.filter(({ status }) => status === "RUNNING");
  const chosen = [...running, ...runs.filter((run) => !running.includes(run))].slice(0, RUNS);
  return { runs: chosen.map(({ id }) => String(id)), metrics: [...new Set([...telling(names), ...names])].slice(0, METRICS) };
}

/** @param {string[]} names */
function telling(names) {
  return TELLING.flatMap((pattern) => names.filter((name) => pattern.test(name)));
}
