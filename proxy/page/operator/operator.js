/** The proxy's own view. */

import { el, fill } from "../base/dom.js";

export class Operator {
  /**
   * @param {import("../main.js").App} app
   * @param {HTMLElement} root
   */
  constructor(app, root) {
    this.app = app;
    fill(root, el("p", { class: "empty", text: "…" }));
  }

  close() {}
}
