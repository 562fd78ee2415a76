/** Errors in plain words, with what to do about them. */

/** @typedef {import("../types.d.ts").Notice} Notice */
/** @typedef {import("../types.d.ts").Failure} Failure */

/** @type {Readonly<Record<string, {title: string, advice: string, tone?: Notice["tone"]}>>} */
const KNOWN = {
  unauthorized: { title: "This proxy wants a token", advice: "Enter one that the proxy's operator gave you." },
  "scope-refused": { title: "Your token may not see this", advice: "Choose another project, or ask the operator for more." },
  "admin-refused": {
    title: "Managing takes admin rights",
    advice: "Use a token made with --admin, or open the page on the proxy's own machine where there are no tokens.",
    tone: "info",
  },
  "network-refused": { title: "Your network is not let in", advice: "Ask the proxy's operator to add it to access.networks." },
  "wrong-host": {
    title: "The proxy doesn't go by this name",
    advice: "Open it by a name that its operator has listed in server.allowed_hosts.",
  },
  "key-refused": {
    title: "Pluto refuses the proxy's key",
    advice: "The proxy's operator has to put in a good key. What is stored is still shown.",
  },
  "upstream-busy": {
    title: "Pluto is given a rest",
    advice: "It was asked too much, or failed several times. The proxy asks again by itself; what is stored is still shown.",
    tone: "warning",
  },
  "upstream-failed": { title: "Pluto doesn't answer", advice: "The proxy tries again by itself; what is stored is still shown." },
  "upstream-timeout": {
    title: "Pluto takes too long",
    advice: "The proxy tries again by itself; a smaller view may come sooner.",
    tone: "warning",
  },
  "client-limited": { title: "Too many requests from here", advice: "The page goes on in a moment.", tone: "warning" },
  "nothing-stored": { title: "Nothing is stored of this", advice: "Pluto can't be asked just now. Come back once it answers." },
  "upstream-stalled": { title: "Pluto stopped in the middle of an answer", advice: "The proxy tries again by itself.", tone: "warning" },
  "upstream-bad-answer": { title: "Pluto answered something unexpected", advice: "Should that last, tell the proxy's operator." },
  "not-found": { title: "There is no such thing", advice: "It may be gone, or your token may not see it." },
  unreachable: { title: "The proxy can't be reached", advice: "Is it running? The page tries again by itself." },
  draining: { title: "The proxy is being stopped", advice: "The page connects again once it is back.", tone: "warning" },
};

/**
 * @param {Failure} failure
 * @returns {Notice}
 */
export function noticeOf({ code, title, detail }) {
  const known = KNOWN[code];
  return { code, tone: known?.tone ?? "error", title: known?.title ?? title, detail, advice: known?.advice ?? "" };
}

/**
 * What to say where a page may not listen for new rows now.
 * @param {Failure} failure
 * @returns {Notice}
 */
export function notLive(failure) {
  return {
    ...noticeOf(failure),
    title: "The charts don't grow by themselves now",
    advice: "Close other pages that show charts, or choose less. It is tried again; Reload shows what is new.",
  };
}

/**
 * Read the document of an answer that is no success.
 * @param {number} status
 * @param {unknown} document what the answer's body holds, null where that is no JSON
 * @returns {Failure}
 */
export function failureOf(status, document) {
  const found = typeof document === "object" && document !== null ? /** @type {Record<string, unknown>} */ (document) : {};
  const text = (/** @type {string} */ name) => (typeof found[name] === "string" ? found[name] : "");
  const plain = status === 401 ? "unauthorized" : `http_${status}`;
  const faults = Array.isArray(found["faults"]) ? found["faults"].map(faultText).filter(Boolean).join("; ") : "";
  const detail = text("detail") || text("error") || text("message") || `The answer had status ${status}.`;
  return {
    code: text("code") || plain,
    title: text("title") || `Status ${status}`,
    detail: faults ? `${detail}: ${faults}` : detail,
  };
}

/** @param {unknown} fault */
function faultText(fault) {
  if (typeof fault !== "object" || fault === null) return "";
  const { parameter, message } = /** @type {Record<string, unknown>} */ (fault);
  return `${String(parameter)} ${String(message)}`;
}
