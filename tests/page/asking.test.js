import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";

import { firstChoice } from "../../proxy/page/pure/choices.js";
import { EventReader, backoff } from "../../proxy/page/pure/eventstream.js";
import { PLANS, columnsOf, enriched, hitShare, total } from "../../proxy/page/pure/history.js";
import { RUNS_A_REQUEST, batchesOf, keyText, pointsFor, seriesQuery } from "../../proxy/page/pure/requests.js";
import { curlOf, pandasOf, plutoOf, pythonQuote, shellQuote } from "../../proxy/page/pure/snippets.js";
import { matching, metricsBelow, treeOf } from "../../proxy/page/pure/tree.js";

const HOSTILE = ["loss", "it's", '"', "\\", "$(reboot)", "`id`", "a\nb", "é", "🎉", "\u202E", "%s %(x)s {y}"];

test("events come whole, however the bytes are cut", () => {
  const stream = 'event: rows\r\nid: 7\ndata: {"a":1}\n\n: heartbeat\n\ndata: one\rdata:two\n\nid: 8\n\nevent: lost\n\ndata\n\n';
  const whole = new EventReader().push(stream);
  assert.deepEqual(whole, [
    { event: "rows", id: "7", data: '{"a":1}' },
    { event: "message", id: "7", data: "one\ntwo" },
    { event: "message", id: "8", data: "" },
  ]);
  for (let size = 1; size < 12; size += 1) {
    const reader = new EventReader();
    const found = [];
    for (let start = 0; start < stream.length; start += size) found.push(...reader.push(stream.slice(start, start + size)));
    assert.deepEqual(found, whole, `pieces of ${size}`);
    assert.equal(reader.lastId, "8");
  }
});

test("attempts to connect become rarer, and never stop", () => {
  assert.deepEqual([1, 2, 3, 20].map((failures) => backoff(failures, 1)), [1, 2, 4, 30]);
  assert.equal(backoff(1, 0), 0.5);
});

test("every series is asked for exactly once, in requests of bounded size", () => {
  const runs = Array.from({ length: 21 }, (_, run) => String(run));
  const metrics = Array.from({ length: 90 }, (_, metric) => `metric ${"x".repeat(metric)}`);
  const keys = runs.flatMap((run) => metrics.map((metric) => ({ run, metric })));
  const batches = batchesOf(keys);
  const asked = batches.flatMap((batch) => batch.runs.flatMap((run) => batch.metrics.map((metric) => keyText({ run, metric }))));
  assert.deepEqual(asked.toSorted(), keys.map(keyText).toSorted());
  for (const batch of batches) {
    assert.ok(batch.runs.length <= RUNS_A_REQUEST && batch.runs.length * batch.metrics.length * pointsFor(2000, 8) <= 250_000);
    assert.ok(seriesQuery("p", batch, { points: 1000, smooth: 1, steps: { stepMin: 1, stepMax: 2 } }).length < 8000);
  }
  assert.deepEqual(batchesOf([]), []);
});

test("a shell reads a quoted text as it was", () => {
  for (const text of HOSTILE) assert.equal(execFileSync("sh", ["-c", `printf %s ${shellQuote(text)}`], { encoding: "utf8" }), text);
});

test("lines to copy name what is asked, the token never", () => {
  const asked = {
    origin: "http://h:1", token: true, project: "it's", runs: ["1", "2"], metrics: ['a"b'], points: 10, smooth: 0, steps: null,
  };
  const query = "http://h:1/view/series?project=it%27s&run=1&run=2&metric=a%22b&points=10";
  assert.equal(curlOf(asked), `curl -s --compressed -H "Authorization: Bearer $PLUTO_PROXY_TOKEN" '${query}'`);
  assert.match(pandasOf(asked), /pd\.read_csv\("http:.*&format=csv", storage_options=/);
  assert.match(plutoOf({ ...asked, token: false }), /api_token="any", host="http:\/\/h:1"/);
  assert.match(plutoOf(asked), /get_metrics\("it's", run, metric_names=\["a\\"b"\]\) for run in \[1, 2\]/);
  assert.equal(pythonQuote("é🎉\n"), '"\\u00e9\\U0001f389\\u000a"');
});

test("what is too much for one request is copied as several, each of which the proxy takes", () => {
  const runs = Array.from({ length: 200 }, (_, run) => String(run));
  const metrics = Array.from({ length: 7 }, (_, metric) => `train/${"é".repeat(metric)}${metric}`);
  const asked = { origin: "http://h:1", token: true, project: "p", runs, metrics, points: 500, smooth: 0, steps: null };
  const urls = curlOf(asked).split("\n").map((line) => new URL(line.match(/'(http.*)'$/)?.[1] ?? ""));
  const named = urls.flatMap(({ searchParams }) =>
    searchParams.getAll("run").flatMap((run) => searchParams.getAll("metric").map((metric) => keyText({ run, metric }))),
  );
  assert.deepEqual(named.toSorted(), runs.flatMap((run) => metrics.map((metric) => keyText({ run, metric }))).toSorted());
  for (const { search, searchParams } of urls) {
    assert.ok(searchParams.getAll("run").length * searchParams.getAll("metric").length <= 400);
    assert.ok(search.length < 8000);
  }
  const lines = pandasOf(asked);
  assert.equal(lines.split("&format=csv").length - 1, urls.length);
  assert.match(lines, /pd\.concat\(\[pd\.read_csv\(url, storage_options=\{.*\}\) for url in urls\], ignore_index=True\)\n$/);
});

test("the tree holds every metric once, groups that are only a way are folded", () => {
  const names = ["a/b/c/x", "a/b/c/y", "loss", "a", "//", "", "a/b"];
  const tree = treeOf(names);
  assert.deepEqual(tree.flatMap(metricsBelow).toSorted(), names.toSorted());
  assert.deepEqual(treeOf(["a/b/c/x", "a/b/c/y"]).map(({ label }) => label), ["a/b/c"]);
  assert.deepEqual(treeOf(["l/10", "l/2"]).flatMap(metricsBelow), ["l/2", "l/10"]);
});

test("a search finds names with all of its words", () => {
  assert.deepEqual(matching(["train/Loss", "val/loss", "acc"], " LOSS tr "), ["train/Loss"]);
  assert.deepEqual(matching(["a"], ""), ["a"]);
});

test("who opens a project sees what is running, by what tells most", () => {
  const run = (/** @type {number} */ id, status = "COMPLETED") => ({ id, name: "", status, tags: [], createdAt: "" });
  assert.deepEqual(firstChoice([run(4), run(3), run(2), run(1, "RUNNING")], ["a", "x/loss", "acc"]), { runs: ["1", "4", "3"], metrics: ["x/loss", "acc"] });
  assert.equal(firstChoice([], ["a"]), null);
  assert.equal(firstChoice([run(1)], []), null);
});

test("counts of an interval become rates, and a time without points is a gap", () => {
  const [answers] = PLANS;
  assert.ok(answers);
  const points = [{ at_s: 10, hits: 20 }, { at_s: 20, hits: 30, misses: 5 }, { at_s: 90, hits: 0, misses: 3, collapsed: 2 }].map(enriched);
  const { lines, data } = columnsOf(answers, points, 10);
  assert.deepEqual(lines.map(({ field }) => field), ["hits", "asked"]);
  assert.deepEqual(data, [[10, 20, 30, 90], [2, 3, null, 0], [null, 0.5, null, 0.5]]);
  assert.equal(total(points, "hits"), 50);
  assert.equal(hitShare(points), 50 / 60);
  assert.equal(hitShare([]), null);
  const tables = enriched({ at_s: 1, calls_by_result: { 200: 5, 304: 1, 500: 2, "upstream-timeout": 1 }, waiting: { person: 2, refresh: 3 }, p50_ms: 12 });
  assert.deepEqual([tables["failed"], tables["in_line"], tables["p50_s"], tables["p99_s"]], [3, 5, 0.012, null]);
});
