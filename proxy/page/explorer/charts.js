/** The charts of what is chosen: one for each metric, or one for all. They get their series together. */

import { el, fill, paced } from "../base/dom.js";
import { shownName } from "../pure/formats.js";
import { Card } from "./card.js";
import { Live } from "./live.js";
import { Loader } from "./loader.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../types.d.ts").View} View */
/** @typedef {import("../types.d.ts").Slot} Slot */
/** @typedef {import("../pure/colours.js").Slots} Slots */
/** @typedef {import("./runs.js").Runs} Runs */

/** The proxy watches no more series for one page. */
const MOST_WATCHED = 400;

export class Charts {
  /** @type {Map<string, Card>} */
  #cards = new Map();
  #timer;
  #draw = paced(() => this.#drawAll());
  /** @type {Set<string>} metrics of which something came */
  #changed = new Set();
  root = el("div", { class: "charts", attributes: { role: "region", "aria-label": "Charts" } });

  /**
   * @param {App} app
   * @param {Runs} runs
   * @param {Slots} slots
   */
  constructor(app, runs, slots) {
    this.app = app;
    this.runs = runs;
    this.slots = slots;
    this.loader = new Loader(app);
    this.live = new Live(app);
    this.loader.onSeries = (keys) => {
      for (const key of keys) this.#changed.add(key.slice(key.indexOf("\n") + 1));
      this.#draw();
    };
    this.loader.onBusy = (busy) => this.root.setAttribute("aria-busy", String(busy));
    this.live.onChanges = (changes) => this.loader.changed(changes);
    this.live.onFine = () => this.loader.retry();
    this.unwatch = app.theme.watch(() => this.redraw());
    this.#timer = setInterval(() => this.#tick(), 1000);
  }

  /** @param {View} view */
  show(view) {
    const keys = view.runs.flatMap((run) => view.metrics.map((metric) => ({ run, metric })));
    const wanted = view.overlay && view.metrics.length ? [view.metrics] : view.metrics.map((metric) => [metric]);
    this.#arrange(keys.length ? wanted : []);
    const [first] = this.#cards.values();
    this.loader.show(view, keys, first?.root.clientWidth ?? 800);
    this.live.watch(view.project, this.#watched(view));
    if (!keys.length) this.#sayWhatToChoose(view);
    this.redraw();
  }

  /** Those that may grow come first, should there be too many. @param {View} view */
  #watched(view) {
    const most = Math.floor(MOST_WATCHED / Math.max(1, view.metrics.length));
    const running = view.runs.filter((run) => this.runs.isRunning(run));
    const runs = [...running, ...view.runs.filter((run) => !running.includes(run))].slice(0, Math.max(1, most));
    return runs.flatMap((run) => view.metrics.slice(0, MOST_WATCHED).map((metric) => ({ run, metric })));
  }

  /** @param {string[][]} wanted the metrics of each chart */
  #arrange(wanted) {
    const before = this.#cards;
    this.#cards = new Map();
    for (const metrics of wanted) {
      const name = JSON.stringify(metrics);
      const card = before.get(name) ?? new Card(this.app, metrics, this.slots);
      this.#cards.set(name, card);
      before.delete(name);
    }
    for (const card of before.values()) card.close();
    const roots = [...this.#cards.values()].map(({ root }) => root);
    if (roots.some((root, place) => this.root.children[place] !== root) || this.root.children.length !== roots.length) {
      fill(this.root, ...roots);
    }
    this.root.classList.toggle("single", roots.length === 1);
  }

  /** @param {View} view */
  #sayWhatToChoose(view) {
    if (!view.project) this.say("Nothing chosen", "Choose a project.");
    else if (!view.runs.length && !view.metrics.length) this.say("Nothing chosen", "Choose runs and metrics on the side.");
    else if (!view.runs.length) this.say("No run chosen", "Tick one or more runs to compare.");
    else this.say("No metric chosen", "Tick a metric: each gets a chart with all chosen runs.");
  }

  /**
   * @param {string} title
   * @param {string} text
   */
  say(title, text) {
    fill(this.root, el("div", { class: "empty big" }, el("h2", { text: title }), el("p", { text })));
  }

  redraw() {
    this.#changed.clear();
    for (const card of this.#cards.values()) this.#drawCard(card);
  }

  renamed() {
    this.redraw();
  }

  #drawAll() {
    const changed = new Set(this.#changed);
    this.#changed.clear();
    for (const card of this.#cards.values()) if (card.metrics.some((metric) => changed.has(metric))) this.#drawCard(card);
  }

  /** @param {Card} card */
  #drawCard(card) {
    const { view } = this.app.store;
    const several = card.metrics.length > 1;
    /** @type {Slot[]} */
    const slots = view.runs.flatMap((run) =>
      card.metrics.map((metric) => {
        const name = shownName(this.runs.labelOf(run));
        return { run, metric, label: several ? `${name} · ${shownName(metric)}` : name, series: this.loader.find({ run, metric }) };
      }),
    );
    card.show(view, slots);
  }

  #tick() {
    if (document.hidden) return;
    for (const card of this.#cards.values()) card.tellTheTime();
  }

  close() {
    clearInterval(this.#timer);
    this.unwatch();
    this.loader.close();
    this.live.close();
    for (const card of this.#cards.values()) card.close();
  }
}
