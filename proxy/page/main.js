/** The start: what all views share is made once, and the view that the address names is shown. */

import { Api } from "./base/api.js";
import { Banners } from "./base/banners.js";
import { byId, fill } from "./base/dom.js";
import { Store } from "./base/store.js";
import { Theme } from "./base/theme.js";
import { TokenEntry } from "./base/token.js";
import { Explorer } from "./explorer/explorer.js";
import { Operator } from "./operator/operator.js";
import { encodeView } from "./pure/address.js";

/**
 * @typedef {object} App what all views share
 * @property {Api} api
 * @property {Store} store
 * @property {Banners} banners
 * @property {Theme} theme
 */

const api = new Api();
const store = new Store();
const banners = new Banners(byId("banners"));
const theme = new Theme();
const app = { api, store, banners, theme };
const entry = new TokenEntry(api, () => restart());

api.onRefused = (error) => {
  banners.show(error.notice, { label: "Enter a token", act: () => entry.open() });
  entry.open(error.failure.detail);
};
api.onReached = () => banners.clear("unreachable");
fill(byId("top-end"), theme.button, entry.button);

/** @type {Explorer | Operator | null} */
let shown = null;

function restart() {
  banners.clear("unauthorized");
  shown?.close();
  shown = store.view.tab === "proxy" ? new Operator(app, byId("main")) : new Explorer(app, byId("main"));
}

function markTab() {
  const { view } = store;
  for (const tab of /** @type {const} */ (["explore", "proxy"])) {
    const link = byId(`tab-${tab}`);
    link.setAttribute("href", encodeView({ ...view, tab }));
    if (view.tab === tab) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = view.tab === "proxy" ? "Proxy · pluto-proxy" : [view.project, "pluto-proxy"].filter(Boolean).join(" · ");
}

store.watch((view, before) => {
  markTab();
  if (view.tab !== before.tab) restart();
});
markTab();
restart();
