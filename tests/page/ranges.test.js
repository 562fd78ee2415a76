import assert from "node:assert/strict";
import test from "node:test";

import { boundsOfX, boundsOfY, padded, stepsOfTimes, stepsOfWindow } from "../../proxy/page/pure/ranges.js";
import { seriesOf } from "./series.js";

/** @type {{x: "step" | "time", log: boolean, band: boolean, line: "mean" | "last", smooth: number}} */
const PLAIN = { x: "step", log: false, band: true, line: "mean", smooth: 0 };

test("a spike counts for y, though the line doesn't show it", () => {
  const series = seriesOf([[0, 1], [64, 1], [128, 1]], { width: 64, max: [1, 900, 1] });
  assert.deepEqual(boundsOfY([series], PLAIN, 0, 200), [1, 900]);
  assert.deepEqual(boundsOfY([series], { ...PLAIN, band: false }, 0, 200), [1, 1]);
});

test("the raw line counts for y beside the smoothed one", () => {
  const series = seriesOf([[0, 1], [1, 5]], { smoothed: [1, 3] });
  assert.deepEqual(boundsOfY([series], { ...PLAIN, band: false, smooth: 2 }, 0, 1), [1, 5]);
});

test("y is that of the window, with the bucket that reaches into it", () => {
  const series = seriesOf([[0, 5], [64, 1], [128, 2]], { width: 64 });
  assert.deepEqual(boundsOfY([series], PLAIN, 100, 120), [1, 1]);
  assert.deepEqual(boundsOfY([series], PLAIN, 100, 130), [1, 2]);
  assert.equal(boundsOfY([series], PLAIN, 500, 600), null);
});

test("what isn't above 0 has no place on a logarithmic scale", () => {
  assert.deepEqual(boundsOfY([seriesOf([[0, -1], [1, 0], [2, 3]])], { ...PLAIN, log: true }, 0, 9), [3, 3]);
});

test("bounds get room, and are never the same", () => {
  for (const bounds of /** @type {[number, number][]} */ ([[0, 0], [5, 5], [-3, 7], [-1.7e308, 1.7e308], [1e-300, 1e-299]])) {
    const [low, high] = padded(bounds, false);
    assert.ok(low < high && low <= bounds[0] && high >= bounds[1], String(bounds));
    assert.ok(Number.isFinite(low) && Number.isFinite(high));
  }
  const [low, high] = padded([1, 1000], true);
  assert.ok(low > 0.5 && low < 1 && high > 1000);
  assert.deepEqual(padded(null, false), [0, 1]);
});

test("x reaches from the first to the last row known", () => {
  assert.deepEqual(boundsOfX([seriesOf([[3, 1], [64, 1]], { through: 70 }), seriesOf([[1, 1]])], "step"), [1, 70]);
  assert.deepEqual(boundsOfX([seriesOf([[3, 1]])], "step"), [2, 4]);
  assert.equal(boundsOfX([seriesOf([])], "step"), null);
});

test("a window is asked for with a margin, and never below 0", () => {
  assert.deepEqual(stepsOfWindow(100, 200), { stepMin: 98, stepMax: 202 });
  assert.deepEqual(stepsOfWindow(0, 10.5), { stepMin: 0, stepMax: 12 });
});

test("a window over time becomes steps that cover it", () => {
  const series = seriesOf([[0, 1], [8, 1], [16, 1], [24, 1]], { width: 8, time: [100, 200, 300, 400], through: 31 });
  const steps = stepsOfTimes([series], 210, 310);
  assert.ok(steps && steps.stepMin <= 8 && steps.stepMax >= 24);
  assert.equal(stepsOfTimes([series], 0, 50), null);
  assert.ok(stepsOfTimes([series], 350, 900));
});
