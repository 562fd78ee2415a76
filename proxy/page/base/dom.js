/** Elements, made without markup: whatever a name holds, it is text. */

/**
 * @typedef {object} Properties
 * @property {string} [class]
 * @property {string} [text]
 * @property {Record<string, string | number | boolean | null | undefined>} [attributes] null and false leave one out, true is an empty one
 * @property {Record<string, (event: any) => void>} [on] listeners by the event's name
 */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Properties} [properties]
 * @param {...(Node | string | null)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  if (properties.class) element.className = properties.class;
  if (properties.text !== undefined) element.textContent = properties.text;
  for (const [name, value] of Object.entries(properties.attributes ?? {})) attribute(element, name, value);
  for (const [name, listener] of Object.entries(properties.on ?? {})) element.addEventListener(name, listener);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string | number | boolean | null | undefined} value
 */
export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * A picture of lines, for buttons.
 * @param {string} path its `d`, in a square of 16 by 16
 */
export function icon(path) {
  const picture = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" })) {
    picture.setAttribute(name, value);
  }
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  picture.append(line);
  return picture;
}

/**
 * Replace an element's children.
 * @param {Element} element
 * @param {...(Node | string | null)} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null));
}

/**
 * Return an element of the page's own document, which is there.
 * @param {string} id
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no element #${id}`);
  return found;
}

/**
 * Call a function once things have been quiet for a while, with the last arguments.
 * @template {unknown[]} A
 * @param {number} ms
 * @param {(...given: A) => void} call
 */
export function quiet(ms, call) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  return (/** @type {A} */ ...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...given), ms);
  };
}

/** A page that is drawn while more comes rests so many times as long as drawing took. */
const REST = 3;

/**
 * Call a function that draws at most once a frame, and rarely where drawing takes long.
 * @param {() => void} draw
 */
export function paced(draw) {
  let asked = false;
  let rested = 0;
  const run = () => {
    asked = false;
    const began = performance.now();
    draw();
    // What was drawn is painted after this; the next frame waits for it.
    requestAnimationFrame((now) => (rested = now + REST * (now - began)));
  };
  return () => {
    if (asked) return;
    asked = true;
    setTimeout(() => requestAnimationFrame(run), Math.max(0, rested - performance.now()));
  };
}
