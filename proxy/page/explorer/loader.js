/** Gets series: a few requests at once, each for a few runs, and only what has changed. */

import { ApiError, isAbort } from "../base/api.js";
import { stepsOfTimes, stepsOfWindow } from "../pure/ranges.js";
import { batchesOf, keyText, pointsFor, seriesQuery } from "../pure/requests.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../types.d.ts").View} View */
/** @typedef {import("../types.d.ts").Series} Series */
/** @typedef {import("../pure/requests.js").Key} Key */
/** @typedef {import("../pure/requests.js").Batch} Batch */

const AT_ONCE = 3;

/** What all series of a view are asked with. */
class Conditions {
  /**
   * @param {View} view
   * @param {number} points
   */
  constructor(view, points) {
    this.project = view.project;
    this.smooth = view.smooth;
    this.points = points;
    this.x = view.x;
    this.from = view.from;
    this.to = view.to;
  }

  get zoomed() {
    return this.from !== null;
  }

  get text() {
    return JSON.stringify([this.project, this.smooth, this.points, this.zoomed ? [this.x, this.from, this.to] : null]);
  }
}

export class Loader {
  /** Whole series, as far as they have come, by key. @type {Map<string, Series>} */
  #whole = new Map();
  /** What a zoom shows. @type {Map<string, Series>} */
  #fine = new Map();
  /** What was shown before the view changed, until there is better. @type {Map<string, Series>} */
  #previous = new Map();
  /** Under which conditions each was asked for. @type {WeakMap<Series, string>} */
  #askedWith = new WeakMap();
  /** @type {Map<string, Key>} */
  #wanted = new Map();
  /** Keys under way. @type {Set<string>} */
  #asked = new Set();
  /** Keys whose rows have changed since they were asked for. @type {Set<string>} */
  #stale = new Set();
  #running = 0;
  #abort = new AbortController();
  /** @type {Conditions | null} */
  #conditions = null;
  /** @type {(keys: string[]) => void} */
  onSeries = () => {};
  /** @type {(busy: boolean) => void} */
  onBusy = () => {};

  /** @param {App} app */
  constructor(app) {
    this.app = app;
  }

  /**
   * Get what a view shows. What is there already is kept until there is better.
   * @param {View} view
   * @param {Key[]} keys
   * @param {number} width of a chart, in pixels
   */
  show(view, keys, width) {
    const perChart = view.overlay ? keys.length : view.runs.length;
    const next = new Conditions(view, pointsFor(width, perChart));
    const before = this.#conditions;
    if (before?.text !== next.text) {
      this.#abort.abort();
      this.#abort = new AbortController();
      this.#asked.clear();
      this.#running = 0;
      this.#previous = before?.project === next.project ? new Map([...this.#previous, ...this.#whole, ...this.#fine]) : new Map();
      if (before?.project !== next.project) this.#whole.clear();
      this.#fine.clear();
    }
    this.#conditions = next;
    this.#wanted = new Map(keys.map((key) => [keyText(key), key]));
    for (const map of [this.#whole, this.#fine, this.#previous]) {
      for (const key of map.keys()) if (!this.#wanted.has(key)) map.delete(key);
    }
    this.#next();
  }

  /**
   * Return what is known of a series for the view: the finest there is.
   * @param {Key} key
   */
  find(key) {
    const text = keyText(key);
    return this.#fine.get(text) ?? this.#whole.get(text) ?? this.#previous.get(text);
  }

  /**
   * Get series again whose version is another one.
   * @param {{run: string, metric: string, version: string}[]} changed
   */
  changed(changed) {
    for (const { run, metric, version } of changed) {
      const key = keyText({ run, metric });
      const known = this.find({ run, metric });
      if (!this.#wanted.has(key) || !known || known.version === version) continue;
      this.#stale.add(key);
      const whole = this.#whole.get(key);
      // Behind a zoom it is asked for again once it is shown.
      if (whole !== undefined && whole !== known) this.#askedWith.delete(whole);
    }
    this.#next();
  }

  /** Whether anything is still to come. */
  get busy() {
    return this.#running > 0;
  }

  #next() {
    const conditions = this.#conditions;
    if (conditions === null) return;
    const missing = [...this.#wanted].filter(([text]) => !this.#asked.has(text) && this.#lacks(text, conditions));
    for (const batch of batchesOf(missing.map(([, key]) => key))) {
      if (this.#running >= AT_ONCE) break;
      void this.#ask(batch, conditions, this.#abort.signal);
    }
    this.onBusy(this.busy);
  }

  /**
   * @param {string} text
   * @param {Conditions} conditions
   */
  #lacks(text, conditions) {
    const found = (conditions.zoomed && !this.#firstTheWhole(text, conditions) ? this.#fine : this.#whole).get(text);
    if (found === undefined) return true;
    const whole = { ...conditions, zoomed: false, from: null, to: null };
    const wanted = found === this.#whole.get(text) ? textOf(whole) : conditions.text;
    return this.#stale.has(text) || this.#askedWith.get(found) !== wanted;
  }

  /**
   * A window over time becomes one over steps by the whole series.
   * @param {string} text
   * @param {Conditions} conditions
   */
  #firstTheWhole(text, conditions) {
    return conditions.x === "time" && !this.#whole.has(text);
  }

  /**
   * @param {Batch} batch
   * @param {Conditions} conditions
   * @param {AbortSignal} signal
   */
  async #ask(batch, conditions, signal) {
    const keys = batch.runs.flatMap((run) => batch.metrics.map((metric) => keyText({ run, metric })));
    for (const key of keys) {
      this.#asked.add(key);
      this.#stale.delete(key);
    }
    this.#running += 1;
    const { steps, zoomed } = this.#stepsOf(keys, conditions);
    try {
      const query = seriesQuery(conditions.project, batch, { points: conditions.points, smooth: conditions.smooth, steps });
      const { series } = await this.app.api.get(`/view/series?${query}`, signal);
      if (!signal.aborted) this.#take(series, conditions, zoomed);
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.#failed(batch, conditions, error, zoomed);
    } finally {
      if (!signal.aborted) {
        this.#running -= 1;
        for (const key of keys) this.#asked.delete(key);
        this.onSeries(keys);
        this.#next();
      }
    }
  }

  /**
   * @param {string[]} keys
   * @param {Conditions} conditions
   */
  #stepsOf(keys, conditions) {
    const { from, to } = conditions;
    if (from === null || to === null) return { steps: null, zoomed: false };
    if (conditions.x === "step") return { steps: stepsOfWindow(from, to), zoomed: true };
    const whole = keys.flatMap((key) => this.#whole.get(key) ?? []);
    if (whole.length < keys.length) return { steps: null, zoomed: false };
    return { steps: stepsOfTimes(whole, from, to) ?? { stepMin: 0, stepMax: 0 }, zoomed: true };
  }

  /**
   * @param {Series[]} series
   * @param {Conditions} conditions
   * @param {boolean} zoomed
   */
  #take(series, conditions, zoomed) {
    const text = zoomed ? conditions.text : textOf({ ...conditions, zoomed: false });
    for (const one of series) {
      const key = keyText(one);
      if (!this.#wanted.has(key)) continue;
      const map = zoomed ? this.#fine : this.#whole;
      const before = map.get(key);
      // What failed now takes nothing away that is drawn already: it keeps its age.
      const kept = one.state === "failed" && before && before.state !== "failed" ? { ...before, error: one.error } : one;
      map.set(key, kept);
      this.#askedWith.set(kept, text);
    }
  }

  /**
   * @param {Batch} batch
   * @param {Conditions} conditions
   * @param {ApiError} error
   * @param {boolean} zoomed
   */
  #failed(batch, conditions, error, zoomed) {
    this.app.banners.show(error.notice);
    const failed = batch.runs.flatMap((run) => batch.metrics.map((metric) => failedSeries(run, metric, error)));
    this.#take(failed, conditions, zoomed);
  }

  /** Ask again for what failed. */
  retry() {
    for (const map of [this.#whole, this.#fine]) for (const [key, series] of map) if (series.error) this.#stale.add(key);
    this.#next();
  }

  close() {
    this.#abort.abort();
    this.#conditions = null;
  }
}

/** @param {{project: string, smooth: number, points: number, zoomed: boolean}} conditions */
function textOf({ project, smooth, points }) {
  return JSON.stringify([project, smooth, points, null]);
}

/**
 * @param {string} run
 * @param {string} metric
 * @param {ApiError} error
 * @returns {Series}
 */
function failedSeries(run, metric, error) {
  const columns = { step: [], time: [], count: [], min: [], max: [], mean: [], first: [], last: [], nan: [], inf: [], neg_inf: [] };
  const common = { through: null, asked_at_s: null, full_asked_at_s: null, rows: 0, width: 1, version: "" };
  return { run, metric, state: "failed", ...common, error: error.failure, columns };
}
