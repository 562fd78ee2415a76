/** The values beside the pointer. */

import { el, fill } from "../base/dom.js";
import { counted } from "../pure/formats.js";

/** @typedef {import("./legend.js").Entry} Entry */

const AWAY_PX = 14;

export class Tip {
  root = el("div", { class: "tip", attributes: { "aria-hidden": "true", hidden: true } });

  /**
   * @param {{entries: Entry[], others: number}} nearest
   * @param {string} where
   * @param {number} left in the plot, in pixels
   * @param {number} top
   * @param {number} width of the plot
   */
  show({ entries, others }, where, left, top, width) {
    const rows = entries.map(({ label, colour, text }) => {
      const swatch = el("span", { class: "swatch" });
      swatch.style.background = colour;
      return el("div", { class: "tip-row" }, swatch, el("span", { class: "name" }, el("bdi", { text: label })), el("b", { text }));
    });
    const more = others > 0 ? el("div", { class: "tip-more", text: `and ${counted(others, "other")} below the chart` }) : null;
    fill(this.root, el("div", { class: "tip-where", text: where }), ...rows, more);
    this.root.hidden = rows.length === 0;
    const onTheLeft = left > width / 2;
    this.root.style.left = onTheLeft ? "auto" : `${left + AWAY_PX}px`;
    this.root.style.right = onTheLeft ? `${width - left + AWAY_PX}px` : "auto";
    this.root.style.top = `${Math.max(0, Math.min(top, 120) - 60)}px`;
  }

  hide() {
    this.root.hidden = true;
  }
}
