/** The proxy's own view: how it does, what it holds, who asks; and purging. */

import { ApiError, isAbort } from "../base/api.js";
import { el, fill } from "../base/dom.js";
import { enriched } from "../pure/history.js";
import { Plots } from "./plots.js";
import { PurgeForm } from "./purge.js";
import { tiles } from "./tiles.js";
import { questionTable, usageTable } from "./usage.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../pure/history.js").Point} Point */
/** @typedef {{state: any, usage: any, history: {every_s: number, points: Point[]}, admin: boolean}} Findings */

const EVERY_MS = 5000;
const NO_ADMIN =
  "Usage, the last hour and purging are for those with admin rights: a token made with --admin, or, where there are no tokens, " +
  "the proxy's own machine.";

export class Operator {
  #abort = new AbortController();
  #timer;
  #tiles = el("div", { class: "tiles" });
  #troubles = el("div", { class: "troubles" });
  #usage = el("div", { class: "tables" });
  #managing = el("div", { class: "managing" });
  #shownAdmin = /** @type {boolean | null} */ (null);

  /**
   * @param {App} app
   * @param {HTMLElement} root
   */
  constructor(app, root) {
    this.app = app;
    this.plots = new Plots(app);
    fill(this.#tiles, ...Array.from({ length: 8 }, () => el("div", { class: "tile" }, el("div", { class: "ghost" }))));
    const page = el("div", { class: "operator" }, this.#troubles, this.#tiles, this.plots.root, this.#usage, this.#managing);
    fill(root, page);
    this.#timer = setInterval(() => this.#tick(), EVERY_MS);
    this.unwatch = app.theme.watch(() => this.plots.redraw());
    void this.#load();
  }

  #tick() {
    if (!document.hidden) void this.#load();
  }

  async #load() {
    try {
      const found = await this.#fetch();
      if (!this.#abort.signal.aborted) this.#show(found);
    } catch (error) {
      if (isAbort(error)) return;
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) return;
      this.app.banners.show(error.notice);
      if (error.status !== 0) this.#sayNothing(error);
    }
  }

  /** @returns {Promise<Findings>} less of it for those who may not manage */
  async #fetch() {
    const { api } = this.app;
    const { signal } = this.#abort;
    try {
      const [state, usage, history] = await Promise.all([
        api.get("/admin/state", signal),
        api.get("/admin/usage", signal),
        api.get("/admin/history", signal).catch(unlessMissing),
      ]);
      return { state, usage, history: { ...history, points: history.points.map(enriched) }, admin: true };
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 403) throw error;
      const state = await api.get("/readyz?verbose", signal);
      return { state, usage: { tokens: [] }, history: { every_s: 10, points: [] }, admin: false };
    }
  }

  /** @param {Findings} found */
  #show({ state, usage, history, admin }) {
    fill(this.#troubles, ...state.troubles.map((/** @type {string} */ text) => el("p", { class: "trouble", text })));
    fill(this.#tiles, ...tiles(state, history.points));
    this.plots.show(history);
    fill(this.#usage, ...(admin ? [usageTable(usage.tokens), questionTable(usage.questions ?? [])] : []));
    if (this.#shownAdmin === admin) return;
    this.#shownAdmin = admin;
    fill(this.#managing, admin ? new PurgeForm(this.app).root : el("p", { class: "empty no-admin", text: NO_ADMIN }));
  }

  /** @param {ApiError} error */
  #sayNothing(error) {
    fill(this.#tiles, el("p", { class: "empty", text: `Nothing can be told here: ${error.failure.detail}` }));
  }

  close() {
    clearInterval(this.#timer);
    this.#abort.abort();
    this.unwatch();
    this.plots.close();
  }
}

/**
 * A proxy may have no history yet.
 * @param {unknown} error
 */
function unlessMissing(error) {
  if (error instanceof ApiError && error.status === 404) return { every_s: 10, points: [] };
  throw error;
}
