/** Server-Sent Events from bytes as they come (`EventSource` can't send a token). */

/** @typedef {import("../types.d.ts").StreamEvent} StreamEvent */

const LONGEST_LINE = 4_000_000;

/** Takes pieces of text and gives the events in them; an event may be spread over pieces. */
export class EventReader {
  #rest = "";
  #event = "";
  /** @type {string[]} */
  #data = [];
  /** The id of the last event that came whole. */
  lastId = "";
  #id = "";

  /**
   * @param {string} piece
   * @returns {StreamEvent[]}
   */
  push(piece) {
    const text = this.#rest + piece;
    // A carriage return at the end may be half of a line's end.
    const held = text.endsWith("\r") ? 1 : 0;
    const lines = text.slice(0, text.length - held).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? "") + (held ? "\r" : "");
    if (this.#rest.length > LONGEST_LINE) throw new RangeError("a line of the event stream is too long");
    return lines.flatMap((line) => this.#line(line));
  }

  /**
   * @param {string} line
   * @returns {StreamEvent[]}
   */
  #line(line) {
    if (line === "") return this.#dispatch();
    const [, name = "", value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === "event") this.#event = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    return [];
  }

  #dispatch() {
    const found = { event: this.#event || "message", id: this.#id, data: this.#data.join("\n") };
    const any = this.#data.length > 0;
    [this.#event, this.#data] = ["", []];
    this.lastId = this.#id;
    return any ? [found] : [];
  }
}

const FIRST_WAIT_S = 1;
const LONGEST_WAIT_S = 30;

/**
 * How long to wait before the next attempt to connect. The spread keeps pages from coming back all at once.
 * @param {number} failures how many attempts failed in a row, from 1
 * @param {number} random from 0 to 1
 * @returns {number} seconds
 */
export function backoff(failures, random) {
  const longest = Math.min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (failures - 1));
  return longest * (0.5 + random / 2);
}
