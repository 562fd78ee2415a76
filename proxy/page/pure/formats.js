/** Numbers, ages and moments as people read them. */

const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const UNITS = ["B", "kB", "MB", "GB", "TB"];

/**
 * A measured value in at most `digits` significant digits.
 * @param {number | null | undefined} value
 * @param {number} [digits]
 */
export function formatValue(value, digits = 5) {
  if (value === null || value === undefined) return "–";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Inf" : "−Inf";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-4 || size >= 1e7) ? value.toExponential(digits - 2) : trimmed(value, digits);
  return text.replace("-", "−").replace("e+", "e").replace("e-", "e−");
}

/**
 * @param {number} value
 * @param {number} digits
 */
function trimmed(value, digits) {
  return String(Number(value.toPrecision(digits)));
}

/** @param {number} count a whole number, grouped by thousands */
export function formatCount(count) {
  return GROUPED.format(count);
}

/**
 * @param {number} count
 * @param {string} noun its singular
 * @param {string} [plural]
 */
export function counted(count, noun, plural = `${noun}s`) {
  return `${formatCount(count)} ${count === 1 ? noun : plural}`;
}

/** @param {number} share from 0 to 1 */
export function formatShare(share) {
  if (share > 0.999 && share < 1) return "99.9 %";
  return `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

/** @param {number} bytes */
export function formatBytes(bytes) {
  let [amount, unit] = [bytes, 0];
  while (amount >= 1000 && unit < UNITS.length - 1) [amount, unit] = [amount / 1000, unit + 1];
  return `${unit && amount < 100 ? amount.toFixed(1) : Math.round(amount)} ${UNITS[unit]}`;
}

/** @param {number} seconds how long something takes */
export function formatDuration(seconds) {
  if (seconds === 0) return "0 s";
  if (seconds < 0.0995) return `${(seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0)} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 100 ? `${seconds.toFixed(1)} s` : formatAge(seconds);
}

/** @param {number} seconds how long ago something was */
export function formatAge(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 100) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.round(whole / 3600);
  return hours < 48 ? `${hours} h` : `${Math.round(whole / 86_400)} d`;
}

/** @param {number} atS a moment, in seconds since 1970, as local time */
export function formatMoment(atS) {
  const at = new Date(atS * 1000);
  if (Number.isNaN(at.getTime())) return "–";
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/**
 * Labels for an axis of time: as much of each moment as tells it from its neighbours, and the date where another day begins.
 * @param {number[]} ticks moments in seconds since 1970
 * @param {number} apart how far they are from each other, in seconds
 */
export function timeLabels(ticks, apart) {
  return ticks.map((tick, place) => {
    const [date = "", clock = ""] = formatMoment(tick).split(" ");
    const fraction = (((tick % 1) + 1) % 1).toFixed(3).slice(1);
    const time = apart >= 60 ? clock.slice(0, 5) : apart >= 1 ? clock : clock + fraction;
    if (apart >= 86_400) return date;
    const before = ticks[place - 1];
    return before === undefined || formatMoment(before).startsWith(date) ? time : date.slice(5);
  });
}

/**
 * A name as it can be shown: what turns the direction of writing, or shows as nothing, is made visible.
 * @param {string} name
 */
export function shownName(name) {
  if (name === "") return "(empty)";
  // eslint-disable-next-line no-control-regex -- these are what it is about
  return name.toWellFormed().replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, "\u2423");
}
