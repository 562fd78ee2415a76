import assert from "node:assert/strict";
import test from "node:test";

import { DEFAULT_VIEW, decodeView, encodeView } from "../../proxy/page/pure/address.js";

/** Names as hostile as they come. */
const NAMES = ["loss", "a/b", "a&b=c#d?e", "<img src=x onerror=alert(1)>", "'\"`\\", "\u202Eevil", " x ", "é🎉", "100%", "+", ",", "\u0000\n"];

/** @param {number} seed */
function random(seed) {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

test("a link restores any view", () => {
  const next = random(7);
  const some = (/** @type {string[]} */ list) => list.filter(() => next() < 0.4);
  for (let round = 0; round < 500; round += 1) {
    const zoomed = next() < 0.5;
    const from = Math.floor(next() * 1000);
    /** @type {import("../../proxy/page/types.d.ts").View} */
    const view = {
      tab: next() < 0.2 ? "proxy" : "explore",
      project: NAMES[Math.floor(next() * NAMES.length)] ?? "",
      runs: some(["1", "2", "1001", "9007199254740993"]),
      metrics: some(NAMES),
      x: next() < 0.5 ? "time" : "step",
      log: next() < 0.5,
      smooth: next() < 0.5 ? 0 : Math.ceil(next() * 1000),
      line: next() < 0.5 ? "last" : "mean",
      band: next() < 0.5,
      overlay: next() < 0.5,
      from: zoomed ? from : null,
      to: zoomed ? from + 1 + next() : null,
    };
    assert.deepEqual(decodeView(encodeView(view)), view);
  }
});

test("whatever an address holds is a view", () => {
  for (const hash of ["", "#", "#/", "#/proxy", "#nonsense", "#/explore?%", "#/explore?runs=1,x,-2,1&from=9&to=3&smooth=-1&x=y", "#/explore?from=1"]) {
    const view = decodeView(hash);
    assert.deepEqual(Object.keys(view).sort(), Object.keys(DEFAULT_VIEW).sort());
    assert.equal(view.from, null);
    assert.ok(view.smooth === 0 && view.x === "step");
  }
  assert.deepEqual(decodeView("#/explore?runs=1,x,-2,1").runs, ["1"]);
});

test("half of a surrogate pair breaks no link", () => {
  assert.equal(decodeView(encodeView({ ...DEFAULT_VIEW, project: "a\ud800" })).project, "a\ufffd");
});
