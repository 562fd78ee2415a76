/** Colours of series: each keeps its own as long as it is shown. */

const LIGHT = ["#2f66d0", "#d9730d", "#0f9179", "#c93a54", "#7a51c9", "#8a6d1d", "#1683ad", "#b3478f", "#4d8a2d", "#6b7280"];
const DARK = ["#6f9cf5", "#f0994a", "#3fc7a9", "#f07f92", "#ab8cf2", "#cfae4b", "#56b9de", "#e084c0", "#86c667", "#a3abb8"];
const GOLDEN_ANGLE = 137.508;

/**
 * Return the colour of the series in a slot. After the first ten, colours turn around the circle by the golden angle, so that
 * neighbours differ.
 * @param {number} slot from 0
 * @param {boolean} dark
 */
export function colourOf(slot, dark) {
  const chosen = dark ? DARK : LIGHT;
  const named = chosen[slot];
  if (named !== undefined) return named;
  const turn = slot - chosen.length;
  const hue = Math.round((turn * GOLDEN_ANGLE) % 360);
  const shade = (turn % 3) * 8;
  return dark ? `hsl(${hue} 65% ${58 + shade}%)` : `hsl(${hue} 60% ${34 + shade}%)`;
}

/** Which slot each key has. Who comes takes the lowest free one; who stays keeps its own. */
export class Slots {
  /** @type {Map<string, number>} */
  #taken = new Map();

  /** @param {string[]} keys all that are shown now */
  assign(keys) {
    const kept = new Set(keys);
    for (const key of this.#taken.keys()) if (!kept.has(key)) this.#taken.delete(key);
    const used = new Set(this.#taken.values());
    let next = 0;
    for (const key of keys) {
      if (this.#taken.has(key)) continue;
      while (used.has(next)) next += 1;
      this.#taken.set(key, next);
      used.add(next);
    }
  }

  /** @param {string} key */
  of(key) {
    return this.#taken.get(key) ?? 0;
  }
}
