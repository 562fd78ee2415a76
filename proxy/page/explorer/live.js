/**
 * Listens for new rows: one connection, which names what the page shows.
 *
 * Browsers have six connections to a server, for all tabs together, and the proxy eight streams for a client. So a tab that
 * nobody sees listens to nothing; once it is seen it is told what has changed since.
 */

import { ApiError, isAbort } from "../base/api.js";
import { el } from "../base/dom.js";
import { EventReader, backoff } from "../pure/eventstream.js";
import { noticeOf, notLive } from "../pure/problems.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../pure/requests.js").Key} Key */
/** @typedef {{run: string, metric: string, version: string, through: number | null}} Change */
/** @typedef {import("../types.d.ts").StreamEvent} StreamEvent */

const PLACE = "upstream";
const LIMIT_PLACE = "live";
/** Without a word for so long (a comment comes every 15 s) the connection counts as dead. */
const SILENCE_MS = 45_000;

export class Live {
  #query = "";
  #lastId = "";
  #failures = 0;
  #abort = new AbortController();
  #label = el("span", { text: "Idle" });
  root = el("span", { class: "live", attributes: { role: "status", "data-state": "idle" } }, el("span", { class: "dot" }), this.#label);
  /** @type {(changes: Change[]) => void} */
  onChanges = () => {};
  /** @type {() => void} */
  onFine = () => {};

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    document.addEventListener("visibilitychange", this.#turn);
  }

  /**
   * Watch some series from now on, instead of those of before.
   * @param {string} project
   * @param {Key[]} keys every metric of each run
   */
  watch(project, keys) {
    const query = new URLSearchParams([["project", project]]);
    for (const run of new Set(keys.map((key) => key.run))) query.append("run", run);
    for (const metric of new Set(keys.map((key) => key.metric))) query.append("metric", metric);
    const text = keys.length ? query.toString() : "";
    if (text === this.#query) return;
    [this.#query, this.#lastId] = [text, ""];
    this.app.banners.clear(PLACE);
    this.#turn();
  }

  /** Listen from now on, or no longer, as the tab is seen or not. */
  #turn = () => {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#failures = 0;
    this.app.banners.clear(LIMIT_PLACE);
    if (!this.#query) this.#say("idle", "Idle");
    else if (document.hidden) this.#say("waiting", "Paused");
    else void this.#run(this.#abort.signal);
  };

  /** @param {AbortSignal} signal */
  async #run(signal) {
    while (!signal.aborted) {
      try {
        await this.#listen(signal);
        this.#failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        this.#failures += 1;
        if (error instanceof ApiError && !this.#worthTrying(error)) return;
        if (!(error instanceof ApiError || error instanceof TypeError || isAbort(error))) throw error;
      }
      if (signal.aborted) return;
      this.#say("waiting", "Reconnecting");
      await pause(backoff(Math.max(1, this.#failures), Math.random()) * 1000, signal);
    }
  }

  /** @param {ApiError} error */
  #worthTrying(error) {
    if (error.failure.code === "client-limited") {
      this.app.banners.show(notLive(error.failure), null, LIMIT_PLACE);
      return true;
    }
    const refused = error.status >= 400 && error.status < 500 && error.status !== 429 && error.status !== 408;
    if (!refused) return true;
    this.#say("off", "Not live");
    if (error.status !== 404 && error.status !== 401) this.app.banners.show(error.notice);
    return false;
  }

  /** @param {AbortSignal} signal */
  async #listen(signal) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    /** @type {Record<string, string>} */
    const headers = { Accept: "text/event-stream", ...(this.#lastId ? { "Last-Event-ID": this.#lastId } : {}) };
    const both = AbortSignal.any([signal, silence.signal]);
    const answer = await this.app.api.open(`/view/events?${this.#query}`, { headers, signal: both });
    if (answer.body === null) return;
    this.#say("on", "Live");
    this.app.banners.clear(LIMIT_PLACE);
    const reader = new EventReader();
    const bytes = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    try {
      for (;;) {
        const { done, value } = await bytes.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        this.#failures = 0;
        this.#take(reader.push(value));
        this.#lastId = reader.lastId || this.#lastId;
      }
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  /** @param {StreamEvent[]} events */
  #take(events) {
    /** @type {Change[]} */
    const changes = [];
    for (const { event, data } of events) {
      const told = parsed(data);
      if (event === "rows") changes.push(told);
      else if (event === "state") changes.push(...(told.series ?? []));
      else if (event === "trouble" || event === "ended") this.app.banners.show(noticeOf(told), null, PLACE);
      else if (event === "fine") this.#fine();
    }
    if (changes.length) this.onChanges(changes);
  }

  #fine() {
    this.app.banners.clear(PLACE);
    this.onFine();
  }

  /**
   * @param {"idle" | "on" | "waiting" | "off"} state
   * @param {string} text
   */
  #say(state, text) {
    this.root.dataset["state"] = state;
    this.#label.textContent = text;
  }

  close() {
    document.removeEventListener("visibilitychange", this.#turn);
    this.#abort.abort();
    this.app.banners.clear(PLACE);
    this.app.banners.clear(LIMIT_PLACE);
  }
}

/** @param {string} data */
function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    return {};
  }
}

/**
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
