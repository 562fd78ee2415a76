/** A button with a list of actions under it. */

import { el, icon } from "./dom.js";

const DOTS = "M3 8h.01M8 8h.01M13 8h.01";

/**
 * @param {string} name of the menu, for screen readers
 * @param {{label: string, act: () => void}[]} actions
 */
export function menu(name, actions) {
  const box = el("details", { class: "menu" });
  const close = () => {
    box.open = false;
  };
  const items = actions.map(({ label, act }) => {
    const chosen = () => {
      close();
      act();
    };
    return el("li", {}, el("button", { text: label, attributes: { type: "button" }, on: { click: chosen } }));
  });
  const summary = el("summary", { attributes: { "aria-label": name, title: name } }, icon(DOTS));
  box.append(summary, el("ul", {}, ...items));
  box.addEventListener("focusout", (event) => {
    if (!(event.relatedTarget instanceof Node && box.contains(event.relatedTarget))) close();
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    close();
    summary.focus();
  });
  return box;
}
