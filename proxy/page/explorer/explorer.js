/** The explorer: a project, its runs, their metrics, and the charts of what is chosen. */

import { el, fill } from "../base/dom.js";
import { Slots } from "../pure/colours.js";
import { keyText } from "../pure/requests.js";
import { Charts } from "./charts.js";
import { Metrics } from "./metrics.js";
import { Projects } from "./projects.js";
import { Runs } from "./runs.js";
import { Toolbar } from "./toolbar.js";
import { firstChoice } from "../pure/choices.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {import("../types.d.ts").View} View */

export class Explorer {
  #closed = false;
  slots = new Slots();
  /** Whether nothing was chosen by anybody yet, so that something worth seeing is. */
  #untouched;

  /**
   * @param {App} app
   * @param {HTMLElement} root
   */
  constructor(app, root) {
    this.app = app;
    this.projects = new Projects(app);
    this.runs = new Runs(app, this.slots);
    this.metrics = new Metrics(app);
    this.charts = new Charts(app, this.runs, this.slots);
    this.toolbar = new Toolbar(app, this.charts);
    const { view } = app.store;
    this.#untouched = view.runs.length === 0 && view.metrics.length === 0;
    const side = el("aside", { class: "side", attributes: { "aria-label": "What is shown" } });
    side.append(this.projects.root, this.runs.root, this.metrics.root);
    // On a narrow screen what is chosen would push the charts off it.
    side.classList.toggle("folded", view.runs.length > 0 && view.metrics.length > 0);
    const unfold = el("button", {
      class: "unfold",
      text: "Project, runs and metrics",
      attributes: { type: "button", "aria-expanded": String(!side.classList.contains("folded")) },
      on: { click: () => unfold.setAttribute("aria-expanded", String(!side.classList.toggle("folded"))) },
    });
    fill(root, el("div", { class: "explorer" }, unfold, side, el("div", { class: "stage" }, this.toolbar.root, this.charts.root)));
    this.runs.onListed = () => this.#chooseFirst();
    this.metrics.onListed = () => this.#chooseFirst();
    this.runs.onNamed = () => this.charts.renamed();
    app.store.watch((next, before) => {
      if (!this.#closed && next.tab === "explore") this.#follow(next, before);
    });
    void this.#start();
  }

  async #start() {
    const { store } = this.app;
    // Who comes by a link needn't wait for the list of projects.
    if (store.view.project) this.#opened(store.view);
    const projects = await this.projects.load();
    if (this.#closed || projects === null || store.view.project) return;
    const [first] = projects;
    if (first === undefined) this.charts.say("No projects yet", "Pluto knows of none, or your token sees none.");
    else store.change({ project: first.name }, { step: false });
  }

  /** @param {View} view */
  #opened(view) {
    this.#colour(view);
    this.runs.open(view);
    this.metrics.open(view);
    this.charts.show(view);
  }

  /**
   * @param {View} view
   * @param {View} before
   */
  #follow(view, before) {
    this.projects.show();
    this.toolbar.show(view);
    if (view.project !== before.project) {
      this.#untouched = view.runs.length === 0 && view.metrics.length === 0;
      this.#opened(view);
      return;
    }
    this.#colour(view);
    this.runs.show(view);
    this.metrics.show(view);
    this.charts.show(view);
  }

  /** Runs have colours; or, where one chart has several metrics, each series has its own. @param {View} view */
  #colour(view) {
    const series = () => view.runs.flatMap((run) => view.metrics.map((metric) => keyText({ run, metric })));
    this.slots.assign(view.overlay ? series() : view.runs);
  }

  /** Somebody who opens a project sees something at once: its latest runs and a metric or two. */
  #chooseFirst() {
    const { view } = this.app.store;
    if (!this.#untouched || this.#closed) return;
    const chosen = firstChoice(this.runs.listed, this.metrics.names);
    if (chosen === null || view.runs.length || view.metrics.length) return;
    this.#untouched = false;
    this.app.store.change(chosen, { step: false });
  }

  close() {
    this.#closed = true;
    this.charts.close();
    this.runs.close();
    this.metrics.close();
  }
}
