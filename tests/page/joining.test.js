import assert from "node:assert/strict";
import test from "node:test";

import { countNonFinite, join, nearestRow, rowAt, xsOf, ysOf } from "../../proxy/page/pure/joining.js";
import { seriesOf } from "./series.js";

test("columns share one axis; what a series has no place for is undefined, and its own gaps are null", () => {
  const [axis, one, other] = join([
    { xs: [0, 2, 4], ys: [1, null, 3] },
    { xs: [1, 2], ys: [5, 6] },
  ]);
  assert.deepEqual(axis, [0, 1, 2, 4]);
  assert.deepEqual(one, [1, undefined, null, 3]);
  assert.deepEqual(other, [undefined, 5, 6, undefined]);
});

test("nothing joined is an empty axis", () => {
  assert.deepEqual(join([]), [[]]);
  assert.deepEqual(join([{ xs: [], ys: [] }]), [[], []]);
});

test("over time rows are put in order, those without a time are left out, and the last of one moment counts", () => {
  assert.deepEqual(join([{ xs: [3, 1, null, 3], ys: [10, 20, 30, 40] }]), [[1, 3], [20, 40]]);
});

test("every value of every series is found again on the axis", () => {
  const parts = Array.from({ length: 20 }, (_, series) => {
    const xs = Array.from({ length: 50 }, (__, row) => row * (series + 1));
    return { xs, ys: xs.map((x) => x * 1000 + series) };
  });
  const [axis, ...columns] = join(parts);
  assert.deepEqual(axis, [...axis].sort((a, b) => a - b));
  parts.forEach(({ xs, ys }, series) => {
    const column = columns[series] ?? [];
    assert.deepEqual(xs.map((x) => column[axis.indexOf(x)]), ys);
    assert.equal(column.filter((y) => y !== undefined).length, xs.length);
  });
});

test("on a logarithmic scale there is only what is above 0", () => {
  const { columns } = seriesOf([[0, 1], [1, 0], [2, -3], [3, null]]);
  assert.deepEqual(ysOf(columns, "mean", true), [1, null, null, null]);
  assert.deepEqual(ysOf(columns, "mean", false), [1, 0, -3, null]);
  assert.deepEqual(ysOf(columns, "smoothed", false), []);
  assert.deepEqual(xsOf(columns, "step"), [0, 1, 2, 3]);
});

test("the nearest row", () => {
  assert.equal(nearestRow([], 3), -1);
  const xs = [0, 10, 11, 40];
  for (let x = -5; x < 50; x += 0.5) {
    const found = xs[nearestRow(xs, x)] ?? NaN;
    assert.equal(Math.abs(found - x), Math.min(...xs.map((other) => Math.abs(other - x))));
  }
});

test("a pointer reads the bucket that it is in, and nothing beyond the series' ends", () => {
  const series = seriesOf([[0, 1], [8, 2], [24, 3]], { width: 8 });
  assert.equal(rowAt(series, "step", 7), 0);
  assert.equal(rowAt(series, "step", 8), 1);
  assert.equal(rowAt(series, "step", 15), 1);
  assert.equal(rowAt(series, "step", 31), 2);
  assert.equal(rowAt(series, "step", 32), -1);
  assert.equal(rowAt(series, "step", -1), -1);
  assert.equal(rowAt(seriesOf([]), "step", 0), -1);
});

test("values that are no finite numbers are counted", () => {
  const { columns } = seriesOf([[0, 1], [1, null]], { nan: [2, 1], inf: [0, 4] });
  assert.deepEqual(countNonFinite(columns), { nan: 3, inf: 4, negInf: 0 });
});
