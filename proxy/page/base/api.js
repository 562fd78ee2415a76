/** Asks the proxy, with the tab's token. */

import { failureOf, noticeOf } from "../pure/problems.js";

/** @typedef {import("../types.d.ts").Failure} Failure */

const TOKEN = "pluto-proxy-token";
/** What the operator does about an answer's failure is told by its code. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 where no answer came
   * @param {Failure} failure
   */
  constructor(status, failure) {
    super(`${failure.title}: ${failure.detail}`);
    this.status = status;
    this.failure = failure;
  }

  get notice() {
    return noticeOf(this.failure);
  }
}

/** Whether an error says only that nobody waits for the answer any more. @param {unknown} error */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

export class Api {
  /** How far the proxy's clock is ahead of this one, in seconds. */
  aheadS = 0;
  /** @type {(error: ApiError) => void} */
  onRefused = () => {};
  /** @type {() => void} */
  onReached = () => {};

  get token() {
    return sessionStorage.getItem(TOKEN) ?? "";
  }

  /** Kept for this tab only. */
  set token(text) {
    if (text) sessionStorage.setItem(TOKEN, text);
    else sessionStorage.removeItem(TOKEN);
  }

  /** The proxy's time, in seconds since 1970. */
  nowS() {
    return Date.now() / 1000 + this.aheadS;
  }

  /**
   * Return what a path answers, read as JSON. Throws ApiError.
   * @param {string} path
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  async get(path, signal) {
    const answer = await this.open(path, signal === undefined ? {} : { signal });
    return answer.json();
  }

  /**
   * @param {string} path
   * @param {unknown} document
   * @returns {Promise<any>}
   */
  async post(path, document) {
    const headers = { "Content-Type": "application/json" };
    const answer = await this.open(path, { method: "POST", headers, body: JSON.stringify(document) });
    return answer.json();
  }

  /**
   * Return an answer that is a success. Throws ApiError.
   * @param {string} path
   * @param {RequestInit} [options]
   */
  async open(path, options = {}) {
    const headers = new Headers(options.headers);
    if (this.token) headers.set("Authorization", `Bearer ${this.token}`);
    /** @type {Response} */
    let answer;
    try {
      answer = await fetch(path, { ...options, headers, credentials: "omit", redirect: "error", referrerPolicy: "no-referrer" });
    } catch (error) {
      if (isAbort(error)) throw error;
      throw new ApiError(0, { code: "unreachable", title: "No answer", detail: "The connection failed." });
    }
    this.#notice(answer);
    if (answer.ok) return answer;
    const document = await answer.json().catch(() => null);
    const error = new ApiError(answer.status, failureOf(answer.status, document));
    if (answer.status === 401) this.onRefused(error);
    throw error;
  }

  /** @param {Response} answer */
  #notice(answer) {
    this.onReached();
    const said = Date.parse(answer.headers.get("Date") ?? "") / 1000;
    // The field is cut to whole seconds: half of one is the best guess of what is missing.
    const ahead = said + 0.5 - Date.now() / 1000;
    if (Number.isFinite(ahead)) this.aheadS = Math.abs(ahead) < 2 ? 0 : ahead;
  }
}
