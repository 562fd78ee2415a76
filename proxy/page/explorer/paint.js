/** What uPlot doesn't draw: the span from least to greatest value, and marks where values are no finite numbers. */

/** @typedef {import("../types.d.ts").Slot} Slot */
/** @typedef {import("../types.d.ts").Series} Series */
/** @typedef {import("uplot")} Chart */
/** @typedef {{left: number, right: number, top: number, bottom: number, x: (value: number) => number, y: (value: number) => number}} Frame */

const MARK_PX = 3.5;

/**
 * Return how values become pixels of the canvas. What lies outside of the plot ends at its edge.
 * @param {Chart} chart
 * @returns {Frame}
 */
function frameOf(chart) {
  const { left, top, width, height } = chart.bbox;
  const { x, y } = chart.scales;
  const [x0, x1, y0, y1] = [x?.min ?? 0, x?.max ?? 1, y?.min ?? 0, y?.max ?? 1];
  const log = y?.distr === 3;
  const scaled = (/** @type {number} */ value) => (log ? Math.log10(Math.max(value, Number.MIN_VALUE)) : value);
  const [perX, low] = [width / (x1 - x0), scaled(y0)];
  const perY = height / (scaled(y1) - low);
  const within = (/** @type {number} */ at, /** @type {number} */ from, /** @type {number} */ to) => Math.min(Math.max(at, from), to);
  return {
    left,
    right: left + width,
    top,
    bottom: top + height,
    x: (value) => within(left + (value - x0) * perX, left - 1, left + width + 1),
    y: (value) => within(top + height - (scaled(value) - low) * perY, top, top + height),
  };
}

/**
 * Draw the spans behind the lines. A span is never thinner than a pixel, so that no spike is too short to be seen.
 * @param {Chart} chart
 * @param {Slot[]} slots
 * @param {string[]} colours
 * @param {"step" | "time"} axis
 */
export function paintBands(chart, slots, colours, axis) {
  const { ctx } = chart;
  const frame = frameOf(chart);
  const many = slots.length > 12;
  ctx.save();
  slots.forEach(({ series }, place) => {
    if (series === undefined || !series.columns.count.some((count) => count > 1)) return;
    ctx.fillStyle = ctx.strokeStyle = colours[place] ?? "#888";
    ctx.globalAlpha = many ? 0.12 : 0.22;
    fillSpans(ctx, series, axis, frame);
    if (many) return;
    ctx.globalAlpha = 0.45;
    ctx.lineWidth = devicePixelRatio;
    ctx.stroke(edges(series, axis, frame));
  });
  ctx.restore();
}

/**
 * @param {Series} series
 * @param {"step" | "time"} axis
 * @param {number} row
 * @returns {[number, number] | null} from where to where a bucket reaches; null where it has no place
 */
function reachOf({ columns, width }, axis, row) {
  const from = (axis === "time" ? columns.time : columns.step)[row];
  if (typeof from !== "number") return null;
  if (axis === "step") return [from, from + width];
  const next = columns.time[row + 1];
  const adjacent = (columns.step[row + 1] ?? Infinity) - (columns.step[row] ?? 0) <= width;
  return [from, adjacent && typeof next === "number" && next > from ? next : from];
}

/**
 * Fill the spans, each on its own and in whole pixels: browsers without a graphics card take ten times as long to fill a path.
 * @param {CanvasRenderingContext2D} ctx
 * @param {Series} series
 * @param {"step" | "time"} axis
 * @param {Frame} frame
 */
function fillSpans(ctx, series, axis, frame) {
  const { min, max, count } = series.columns;
  for (let row = 0; row < count.length; row += 1) {
    const [low, high] = [min[row], max[row]];
    const reach = typeof low === "number" && typeof high === "number" && low < high ? reachOf(series, axis, row) : null;
    if (reach === null) continue;
    const [from, to] = [frame.x(reach[0]), frame.x(reach[1])];
    if (to < frame.left || from > frame.right) continue;
    const [left, top] = [Math.round(from), Math.floor(frame.y(Number(high)))];
    ctx.fillRect(left, top, Math.max(1, Math.round(to) - left), Math.max(1, Math.ceil(frame.y(Number(low))) - top));
  }
}

/**
 * The outline above and below: what makes a spike in one narrow bucket stand out.
 * @param {Series} series
 * @param {"step" | "time"} axis
 * @param {Frame} frame
 */
function edges(series, axis, frame) {
  const path = new Path2D();
  for (const values of [series.columns.max, series.columns.min]) {
    let drawing = false;
    values.forEach((value, row) => {
      const reach = value === null ? null : reachOf(series, axis, row);
      if (reach === null || value === null) {
        drawing = false;
        return;
      }
      const [x, y] = [frame.x((reach[0] + reach[1]) / 2), frame.y(value)];
      if (drawing) path.lineTo(x, y);
      else path.moveTo(x, y);
      drawing = x >= frame.left && x <= frame.right;
    });
  }
  return path;
}

/**
 * Draw a cross at the bottom for NaN, a triangle at the top for Inf, and one at the bottom for -Inf.
 * @param {Chart} chart
 * @param {Slot[]} slots
 * @param {string[]} colours
 * @param {"step" | "time"} axis
 */
export function paintMarks(chart, slots, colours, axis) {
  const { ctx } = chart;
  const frame = frameOf(chart);
  const size = MARK_PX * devicePixelRatio;
  ctx.save();
  ctx.lineWidth = 1.5 * devicePixelRatio;
  slots.forEach(({ series }, place) => {
    if (series === undefined) return;
    ctx.fillStyle = ctx.strokeStyle = colours[place] ?? "#888";
    const { nan, inf, neg_inf: negInf } = series.columns;
    nan.forEach((count, row) => {
      if (!(count || inf[row] || negInf[row])) return;
      const reach = reachOf(series, axis, row);
      const x = reach === null ? -1 : frame.x((reach[0] + reach[1]) / 2);
      if (x < frame.left || x > frame.right) return;
      if (count) ctx.stroke(cross(x, frame.bottom - 2 * size, size));
      if (inf[row]) ctx.fill(triangle(x, frame.top + 1, size, 1));
      if (negInf[row]) ctx.fill(triangle(x, frame.bottom - 1, size, -1));
    });
  });
  ctx.restore();
}

/**
 * @param {number} x
 * @param {number} y
 * @param {number} size
 */
function cross(x, y, size) {
  const path = new Path2D();
  path.moveTo(x - size, y - size);
  path.lineTo(x + size, y + size);
  path.moveTo(x - size, y + size);
  path.lineTo(x + size, y - size);
  return path;
}

/**
 * @param {number} x
 * @param {number} tip
 * @param {number} size
 * @param {1 | -1} direction 1 points upwards
 */
function triangle(x, tip, size, direction) {
  const path = new Path2D();
  path.moveTo(x, tip);
  path.lineTo(x - size, tip + direction * 2 * size);
  path.lineTo(x + size, tip + direction * 2 * size);
  path.closePath();
  return path;
}
