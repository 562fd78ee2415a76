/** The choice of a project. */

import { ApiError } from "../base/api.js";
import { el, fill } from "../base/dom.js";
import { shownName } from "../pure/formats.js";

/** @typedef {import("../main.js").App} App */
/** @typedef {{name: string, runCount?: number}} Project */

export class Projects {
  #select = el("select", {
    attributes: { id: "project", disabled: true },
    on: { change: () => this.#choose() },
  });
  root = el("section", { class: "projects" }, el("label", { text: "Project", attributes: { for: "project" } }), this.#select);
  /** @type {Project[]} */
  #projects = [];

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.#fill();
  }

  /** @returns {Promise<Project[] | null>} null where they can't be had */
  async load() {
    try {
      const { projects } = await this.app.api.get("/api/runs/projects");
      this.#projects = projects;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.app.banners.show(error.notice);
      if (!this.app.store.view.project) return null;
    }
    this.#fill();
    return this.#projects;
  }

  #fill() {
    const { project } = this.app.store.view;
    const names = this.#projects.map(({ name }) => name);
    // One that a link names and the list doesn't is shown all the same: the list may be older than it.
    if (project && !names.includes(project)) names.unshift(project);
    const options = names.map((name) => el("option", { text: shownName(name), attributes: { value: name } }));
    fill(this.#select, ...(options.length ? options : [el("option", { text: "None" })]));
    this.#select.disabled = options.length === 0;
    this.#select.value = project;
  }

  show() {
    this.#fill();
  }

  #choose() {
    this.app.store.change({ project: this.#select.value, runs: [], metrics: [], from: null, to: null });
  }
}
