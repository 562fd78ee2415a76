/** What a chart shows as CSV (RFC 4180): a line for each bucket. */

/** @typedef {import("../types.d.ts").Slot} Slot */

const NAMES = /** @type {const} */ (["step", "time", "count", "min", "max", "mean", "first", "last", "nan", "inf", "neg_inf"]);
const FORMULA = /^[=+\-@\t\r]/;

/**
 * @param {Slot[]} slots
 * @param {boolean} smoothed whether there is such a column
 */
export function csvOf(slots, smoothed) {
  const lines = [["run", "metric", ...NAMES, ...(smoothed ? ["smoothed"] : [])].join(",")];
  for (const { run, metric, series } of slots) {
    if (series === undefined) continue;
    const { columns } = series;
    const head = `${cell(run)},${cell(metric)}`;
    for (const row of columns.step.keys()) {
      const values = NAMES.map((name) => columns[name][row] ?? "");
      if (smoothed) values.push(columns.smoothed?.[row] ?? "");
      lines.push(`${head},${values.join(",")}`);
    }
  }
  return `${lines.join("\r\n")}\r\n`;
}

/**
 * A text cell. One that a spreadsheet would take for a formula begins with an apostrophe.
 * @param {string} text
 */
export function cell(text) {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
