/** A chart as a picture, with its title, legend and what is said under it. */

const EDGE = 16;
const LINE = 20;

/**
 * @param {HTMLCanvasElement} canvas the chart
 * @param {string} title
 * @param {{label: string, colour: string}[]} entries
 * @param {string} words
 * @returns {Promise<Blob | null>}
 */
export function pictureOf(canvas, title, entries, words) {
  const ratio = devicePixelRatio;
  const styles = getComputedStyle(document.documentElement);
  const width = canvas.width / ratio + 2 * EDGE;
  const context = document.createElement("canvas").getContext("2d");
  if (context === null) return Promise.resolve(null);
  const rows = legendRows(context, entries, width - 2 * EDGE);
  const height = canvas.height / ratio + 2 * EDGE + LINE * (rows.length + 2);
  const picture = context.canvas;
  [picture.width, picture.height] = [width * ratio, height * ratio];
  context.scale(ratio, ratio);
  context.fillStyle = styles.getPropertyValue("--surface");
  context.fillRect(0, 0, width, height);
  context.fillStyle = styles.getPropertyValue("--text");
  context.font = "600 14px system-ui, sans-serif";
  context.fillText(title, EDGE, EDGE + 10, width - 2 * EDGE);
  context.drawImage(canvas, EDGE, EDGE + LINE, canvas.width / ratio, canvas.height / ratio);
  let y = EDGE + LINE + canvas.height / ratio + 14;
  context.font = "12px system-ui, sans-serif";
  for (const row of rows) {
    for (const { label, colour, x } of row) {
      context.fillStyle = colour;
      context.fillRect(EDGE + x, y - 8, 10, 8);
      context.fillStyle = styles.getPropertyValue("--text");
      context.fillText(label, EDGE + x + 15, y);
    }
    y += LINE;
  }
  context.fillStyle = styles.getPropertyValue("--muted");
  context.fillText(words.replaceAll("\n", " "), EDGE, y, width - 2 * EDGE);
  return new Promise((resolve) => picture.toBlob(resolve, "image/png"));
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{label: string, colour: string}[]} entries
 * @param {number} width
 */
function legendRows(context, entries, width) {
  context.font = "12px system-ui, sans-serif";
  /** @type {{label: string, colour: string, x: number}[][]} */
  const rows = [];
  let x = Infinity;
  for (const entry of entries) {
    const takes = context.measureText(entry.label).width + 32;
    if (x + takes > width) {
      rows.push([]);
      x = 0;
    }
    rows.at(-1)?.push({ ...entry, x });
    x += takes;
  }
  return rows;
}
