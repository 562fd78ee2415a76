/** The list of a project's runs: found by name, tag and status, and chosen. */

import { ApiError, isAbort } from "../base/api.js";
import { el, fill, quiet } from "../base/dom.js";
import { colourOf } from "../pure/colours.js";
import { counted, formatCount } from "../pure/formats.js";
import { RunRow } from "./run_row.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../types.d.ts").Run} Run */
/** @typedef {import("../types.d.ts").View} View */
/** @typedef {import("../pure/colours.js").Slots} Slots */

const PAGE = 200;
const MOST = 200;
const STATUSES = ["RUNNING", "COMPLETED", "FAILED", "TERMINATED", "CANCELLED"];

export class Runs {
  /** @type {Run[]} */
  listed = [];
  /** @type {Map<string, Run>} */
  #known = new Map();
  /** @type {Map<string, RunRow>} */
  #rows = new Map();
  #total = 0;
  #project = "";
  #loading = new AbortController();
  #search = el("input", {
    attributes: { type: "search", placeholder: "Search runs", "aria-label": "Search runs by name" },
    on: { input: quiet(250, () => void this.#load()) },
  });
  #status = el(
    "select",
    { attributes: { "aria-label": "Status" }, on: { change: () => void this.#load() } },
    el("option", { text: "Any status", attributes: { value: "" } }),
    ...STATUSES.map((name) => el("option", { text: name.toLowerCase(), attributes: { value: name } })),
  );
  #tag = el("select", { attributes: { "aria-label": "Tag" }, on: { change: () => void this.#load() } });
  #list = el("ul", { class: "rows runs", attributes: { "aria-label": "Runs" } });
  #count = el("span", { class: "count" });
  #more = el("button", { class: "more", text: "More", attributes: { type: "button", hidden: true }, on: { click: () => void this.#load(true) } });
  #none = el("button", { class: "quiet link", text: "Clear", attributes: { type: "button", "aria-label": "Clear runs" }, on: { click: () => this.#clear() } });
  #again = el("button", { class: "quiet link", text: "Reload", attributes: { type: "button" }, on: { click: () => void this.#load() } });
  root = el(
    "section",
    { class: "panel" },
    el("header", {}, el("h2", { text: "Runs" }), this.#count, el("span", { class: "spacer" }), this.#none, this.#again),
    el("div", { class: "filters" }, this.#search, this.#status, this.#tag),
    this.#list,
    this.#more,
  );
  /** @type {() => void} */
  onListed = () => {};
  /** @type {() => void} */
  onNamed = () => {};

  /**
   * @param {App} app
   * @param {Slots} slots the colours of runs
   */
  constructor(app, slots) {
    this.app = app;
    this.slots = slots;
    this.#tags();
  }

  /** @param {Run} run */
  #row(run) {
    const id = String(run.id);
    const made = this.#rows.get(id);
    if (made?.run === run) return made;
    const row = new RunRow(run, () => this.#toggle(run));
    this.#rows.set(id, row);
    return row;
  }

  /** @param {string} id */
  labelOf(id) {
    return this.#known.get(id)?.name ?? `run ${id}`;
  }

  /** @param {string} id */
  isRunning(id) {
    return (this.#known.get(id)?.status ?? "RUNNING") === "RUNNING";
  }

  /** @param {View} view */
  open(view) {
    this.#project = view.project;
    this.listed = [];
    this.#known.clear();
    this.#rows.clear();
    this.#search.value = this.#status.value = "";
    this.#tag.replaceChildren();
    this.#tags();
    fill(this.#list, ...Array.from({ length: 6 }, () => el("li", { class: "ghost" })));
    void this.#load();
  }

  /** @param {View} view */
  show(view) {
    const chosen = new Set(view.runs);
    // Chosen runs that the list doesn't hold stand above it, so that they can be taken away.
    const others = view.runs.filter((id) => !this.listed.some((run) => String(run.id) === id));
    const runs = [...others.map((id) => this.#known.get(id) ?? unknownRun(id)), ...this.listed];
    const rows = runs.map((run) => this.#row(run));
    const colour = (/** @type {string} */ id) => (chosen.has(id) && !view.overlay ? colourOf(this.slots.of(id), this.app.theme.dark) : "");
    for (const row of rows) row.show(chosen.has(row.id), colour(row.id), this.app.api.nowS());
    const empty = el("li", { class: "empty", text: this.#filtered() ? "No run fits." : "No runs yet." });
    // Elements that stay where they are keep the keyboard's focus.
    const [there, wanted] = [[...this.#list.children], rows.length ? rows.map(({ root }) => root) : [empty]];
    if (there.length !== wanted.length || wanted.some((element, place) => element !== there[place])) fill(this.#list, ...wanted);
    this.#count.textContent = chosen.size ? `${formatCount(chosen.size)} of ${formatCount(this.#total)}` : formatCount(this.#total);
    this.#none.hidden = chosen.size === 0;
    this.#more.hidden = this.listed.length >= this.#total;
    this.#more.textContent = `Show more of ${counted(this.#total, "run")}`;
  }

  /** @param {boolean} [more] the next page, below what is there */
  async #load(more = false) {
    this.#loading.abort();
    this.#loading = new AbortController();
    const query = new URLSearchParams({ projectName: this.#project, limit: String(PAGE) });
    if (this.#search.value.trim()) query.set("search", this.#search.value.trim());
    if (this.#status.value) query.set("status", this.#status.value);
    if (this.#tag.value) query.set("tags", this.#tag.value);
    if (more) query.set("offset", String(this.listed.length));
    try {
      const { runs, total } = await this.app.api.get(`/api/runs/list?${query}`, this.#loading.signal);
      this.#take(more ? [...this.listed, ...runs] : runs, total);
      await this.#nameOthers();
    } catch (error) {
      this.#failed(error);
    }
  }

  /**
   * @param {Run[]} runs
   * @param {number} total
   */
  #take(runs, total) {
    const seen = new Set();
    this.listed = runs.filter(({ id }) => !seen.has(id) && seen.add(id));
    this.#total = total;
    for (const run of this.listed) this.#known.set(String(run.id), run);
    this.#tags();
    this.show(this.app.store.view);
    this.onListed();
    this.onNamed();
  }

  /** A link may name runs that are on none of the pages. */
  async #nameOthers() {
    const others = this.app.store.view.runs.filter((id) => !this.#known.has(id));
    for (const id of others) {
      const run = await this.app.api.get(`/api/runs/details/${id}`, this.#loading.signal).catch(() => null);
      if (run?.projectName === this.#project) this.#known.set(id, run);
    }
    if (!others.length) return;
    this.show(this.app.store.view);
    this.onNamed();
  }

  /** @param {unknown} error */
  #failed(error) {
    if (isAbort(error)) return;
    if (!(error instanceof ApiError)) throw error;
    this.app.banners.show(error.notice);
    if (!this.listed.length) fill(this.#list, el("li", { class: "empty", text: "The runs can't be had just now." }));
  }

  #tags() {
    const chosen = this.#tag.value;
    const there = [...this.#tag.options].map(({ value }) => value).filter(Boolean);
    // The list takes tags apart by commas: one that holds a comma can't be asked for.
    const found = this.listed.flatMap(({ tags }) => tags ?? []).filter((tag) => !tag.includes(","));
    const tags = [...new Set([...there, ...found])].sort();
    fill(
      this.#tag,
      el("option", { text: "Any tag", attributes: { value: "" } }),
      ...tags.map((tag) => el("option", { text: tag, attributes: { value: tag } })),
    );
    this.#tag.value = chosen;
  }

  #filtered() {
    return Boolean(this.#search.value || this.#status.value || this.#tag.value);
  }

  /** @param {Run} run */
  #toggle({ id }) {
    const { runs } = this.app.store.view;
    const text = String(id);
    const next = runs.includes(text) ? runs.filter((other) => other !== text) : [...runs, text];
    if (next.length <= MOST) this.app.store.change({ runs: next });
    else this.show(this.app.store.view);
  }

  #clear() {
    this.app.store.change({ runs: [] });
  }

  close() {
    this.#loading.abort();
  }
}

/**
 * @param {string} id
 * @returns {Run}
 */
function unknownRun(id) {
  return { id: Number(id), name: `run ${id}`, status: "", tags: [], createdAt: "" };
}
