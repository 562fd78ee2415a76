/** Series for the tests. */

/** @typedef {import("../../proxy/page/types.d.ts").Series} Series */
/** @typedef {import("../../proxy/page/types.d.ts").Columns} Columns */

/**
 * @param {[number, number | null][]} rows step and value of each bucket, in which all values are the same
 * @param {Partial<Series> & Partial<Columns>} [others]
 * @returns {Series}
 */
export function seriesOf(rows, others = {}) {
  const steps = rows.map(([step]) => step);
  const values = rows.map(([, value]) => value);
  const none = rows.map(() => 0);
  const { nan = none, inf = none, neg_inf = none, min = values, max = values, time = steps, smoothed, count = rows.map(() => 1), ...of } = others;
  const columns = { step: steps, time, count, min, max, mean: values, first: values, last: values, nan, inf, neg_inf };
  return {
    run: "1",
    metric: "loss",
    state: "complete",
    through: steps.at(-1) ?? null,
    asked_at_s: 1000,
    full_asked_at_s: 1000,
    rows: rows.length,
    width: 1,
    version: "v",
    error: null,
    columns: smoothed === undefined ? columns : { ...columns, smoothed },
    ...of,
  };
}
