/** Who asks: the tokens by what they used. */

import { el } from "../base/dom.js";
import { formatBytes, formatCount, formatShare, shownName } from "../pure/formats.js";

/** @typedef {{token: string | null, requests: number, outcomes: Record<string, number>, upstream_calls: number, body_bytes: number}} Used */

const MOST = 20;
const MOST_QUESTIONS = 10;

/** @param {Used[]} tokens */
export function usageTable(tokens) {
  const busiest = [...tokens].sort((a, b) => b.requests - a.requests).slice(0, MOST);
  const heads = ["Token", "Requests", "From here", "Upstream calls", "Sent"].map((text) => el("th", { text, attributes: { scope: "col" } }));
  const rows = busiest.map((used) => {
    const name = el("bdi", { text: used.token === null ? "without a token" : shownName(used.token) });
    const cells = [formatCount(used.requests), fromHere(used.outcomes), formatCount(used.upstream_calls), formatBytes(used.body_bytes)];
    return el("tr", {}, el("th", { attributes: { scope: "row" } }, name), ...cells.map((text) => el("td", { text })));
  });
  const table = el("table", { class: "usage" }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows));
  return el("section", { class: "card" }, el("header", {}, el("h3", { text: "Busiest tokens since the start" })), table);
}

/** @param {{question: string, requests: number}[]} questions the busiest first */
export function questionTable(questions) {
  if (!questions.length) return null;
  const heads = ["Question", "Requests"].map((text) => el("th", { text, attributes: { scope: "col" } }));
  const rows = questions.slice(0, MOST_QUESTIONS).map(({ question, requests }) => {
    const name = el("th", { attributes: { scope: "row", title: shownName(question) } }, el("bdi", { class: "mono", text: shownName(question) }));
    return el("tr", {}, name, el("td", { text: formatCount(requests) }));
  });
  const table = el("table", { class: "usage questions" }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows));
  return el("section", { class: "card" }, el("header", {}, el("h3", { text: "Busiest questions" })), table);
}

/** @param {Record<string, number>} outcomes */
function fromHere(outcomes) {
  const of = (/** @type {string} */ name) => outcomes[name] ?? 0;
  const [hits, others] = [of("hit") + of("series") + of("stale"), of("miss") + of("collapsed")];
  return hits + others ? formatShare(hits / (hits + others)) : "–";
}
