import assert from "node:assert/strict";
import test from "node:test";

import { Slots, colourOf } from "../../proxy/page/pure/colours.js";
import { cell, csvOf } from "../../proxy/page/pure/csv.js";
import { formatAge, formatBytes, formatDuration, formatShare, formatValue, shownName, timeLabels } from "../../proxy/page/pure/formats.js";
import { failureOf, noticeOf } from "../../proxy/page/pure/problems.js";
import { describe } from "../../proxy/page/pure/words.js";
import { seriesOf } from "./series.js";

test("values are short, and never lose what they are", () => {
  const cases = /** @type {[number | null, string][]} */ ([
    [0.123456789, "0.12346"], [0, "0"], [-2, "−2"], [123456, "123460"], [1e21, "1.000e21"], [-1.5e-9, "−1.500e−9"],
    [NaN, "NaN"], [Infinity, "Inf"], [-Infinity, "−Inf"], [null, "–"],
  ]);
  for (const [value, text] of cases) assert.equal(formatValue(value), text);
});

test("ages, durations, sizes and shares", () => {
  assert.deepEqual([3, 99, 180, 7200, 90_000, 200_000].map(formatAge), ["3 s", "99 s", "3 min", "2 h", "25 h", "2 d"]);
  assert.deepEqual([0.0012, 0.05, 0.5, 3.21, 300].map(formatDuration), ["1.2 ms", "50 ms", "500 ms", "3.2 s", "5 min"]);
  assert.deepEqual([12, 1500, 2_500_000].map(formatBytes), ["12 B", "1.5 kB", "2.5 MB"]);
  assert.deepEqual([0, 0.05, 0.5, 0.9999, 1].map(formatShare), ["0 %", "5.0 %", "50 %", "99.9 %", "100 %"]);
});

test("moments on an axis are told from each other, and another day is named", () => {
  const at = new Date(2026, 0, 31, 23, 59, 0).getTime() / 1000;
  assert.deepEqual(timeLabels([at, at + 60], 60), ["23:59", "02-01"]);
  assert.deepEqual(timeLabels([at, at + 30], 30), ["23:59:00", "23:59:30"]);
  assert.deepEqual(timeLabels([at, at + 0.5], 0.5), ["23:59:00.000", "23:59:00.500"]);
  assert.deepEqual(timeLabels([at, at + 86_400], 86_400), ["2026-01-31", "2026-02-01"]);
});

test("what hides in names is shown", () => {
  assert.equal(shownName("a\u202Eb\u0000\ud800"), "a␣b␣\ufffd");
  assert.equal(shownName(""), "(empty)");
  assert.equal(shownName("größe <b>"), "größe <b>");
});

test("colours differ among neighbours and stay with who stays", () => {
  for (const dark of [false, true]) assert.equal(new Set(Array.from({ length: 60 }, (_, slot) => colourOf(slot, dark))).size, 60);
  const slots = new Slots();
  slots.assign(["a", "b", "c"]);
  slots.assign(["c", "d"]);
  assert.deepEqual(["c", "d"].map((key) => slots.of(key)), [2, 0]);
});

test("a table opens in a spreadsheet as text", () => {
  assert.equal(cell("=1+1"), "'=1+1");
  assert.equal(cell('a"b,c'), '"a""b,c"');
  const there = { run: "1", metric: "@x", label: "", series: seriesOf([[0, 1.5], [2, null]]) };
  const text = csvOf([there, { run: "2", metric: "m", label: "", series: undefined }], false);
  assert.deepEqual(text.split("\r\n"), [
    "run,metric,step,time,count,min,max,mean,first,last,nan,inf,neg_inf",
    "1,'@x,0,0,1,1.5,1.5,1.5,1.5,1.5,0,0,0",
    "1,'@x,2,2,1,,,,,,0,0,0",
    "",
  ]);
});

test("a chart says how far it is known, how old that is, and that it may be a sample", () => {
  const slot = (/** @type {any} */ series) => ({ run: "1", metric: "m", label: "", series });
  const say = (/** @type {any[]} */ all) => describe(all.map(slot), 1010).map(({ text }) => text).join(" · ");
  assert.equal(say([seriesOf([[0, 1], [9, 1]])]), "complete through step 9 · 10 s old · 2 rows, each one drawn");
  assert.equal(
    say([seriesOf([[0, 1]]), seriesOf([[0, 1]], { state: "sampled", rows: 1000, width: 64, nan: [3] }), undefined]),
    "1 of 3 series on the way · 1 of 2 complete through step 0 · 1 of 2 sampled: 1,000 rows of more, spikes may be missing · " +
      "10 s old · 1,001 rows, up to 64 steps a point · 3 NaN",
  );
  assert.equal(say([seriesOf([], { state: "empty" })]), "no rows");
  const error = { code: "x", title: "Upstream failed", detail: "d" };
  assert.equal(say([seriesOf([], { state: "failed", error, asked_at_s: null })]), "failed: Upstream failed");
});

test("errors are told in plain words, whatever came", () => {
  assert.equal(noticeOf({ code: "key-refused", title: "t", detail: "d" }).title, "Pluto refuses the proxy's key");
  assert.deepEqual(noticeOf({ code: "odd", title: "t", detail: "d" }), { code: "odd", tone: "error", title: "t", detail: "d", advice: "" });
  assert.equal(failureOf(401, null).code, "unauthorized");
  assert.equal(failureOf(502, "text").detail, "The answer had status 502.");
  const faults = [{ parameter: "run", message: "is missing" }];
  assert.equal(failureOf(400, { code: "bad-query", title: "Bad query", detail: "no", faults }).detail, "no: run is missing");
});
