/** What keys do to a chart. */

/** @typedef {import("uplot")} Chart */
/** @typedef {{kind: "all"} | {kind: "zoom", from: number, to: number} | {kind: "read", left: number, top: number}} Move */

/**
 * @param {string} key as of a keyboard event
 * @param {Chart} chart
 * @param {[number, number]} bounds of x
 * @returns {Move | null}
 */
export function steer(key, chart, bounds) {
  const [from, to] = bounds;
  const at = chart.cursor.left !== undefined && chart.cursor.left >= 0 ? chart.posToVal(chart.cursor.left, "x") : (from + to) / 2;
  switch (key) {
    case "Escape":
    case "0":
      return { kind: "all" };
    case "+":
    case "=":
      return { kind: "zoom", from: at - (at - from) / 2, to: at + (to - at) / 2 };
    case "-":
      return { kind: "zoom", from: Math.max(0, at - (at - from) * 2), to: at + (to - at) * 2 };
    case "ArrowLeft":
    case "ArrowRight":
    case "Home":
    case "End":
      return read(key, chart, bounds);
    default:
      return null;
  }
}

/**
 * @param {string} key
 * @param {Chart} chart
 * @param {[number, number]} bounds
 * @returns {Move | null}
 */
function read(key, chart, [from, to]) {
  const xs = chart.data[0];
  const [first, last] = [xs.findIndex((x) => x >= from), xs.findLastIndex((x) => x <= to)];
  if (first < 0 || last < first) return null;
  const here = chart.cursor.idx ?? (key === "ArrowRight" ? first - 1 : last + 1);
  const wanted = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: first, End: last }[key] ?? here;
  const place = Math.min(Math.max(wanted, first), last);
  return { kind: "read", left: chart.valToPos(xs[place] ?? 0, "x"), top: chart.over.clientHeight / 3 };
}
