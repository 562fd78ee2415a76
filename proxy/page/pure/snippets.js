/** Lines to copy that ask for what a chart shows: with curl, with Pluto's client, with pandas. */

import { seriesQuery } from "./requests.js";

/**
 * @typedef {object} Asked
 * @property {string} origin of the proxy, such as `http://127.0.0.1:8787`
 * @property {boolean} token whether it takes one
 * @property {string} project
 * @property {string[]} runs
 * @property {string[]} metrics
 * @property {number} points
 * @property {number} smooth
 * @property {{stepMin: number, stepMax: number} | null} steps
 */

const TOKEN = "PLUTO_PROXY_TOKEN";

/** @param {Asked} asked */
export function curlOf(asked) {
  const header = asked.token ? ` -H "Authorization: Bearer $${TOKEN}"` : "";
  return `curl -s --compressed${header} ${shellQuote(urlOf(asked))}`;
}

/** @param {Asked} asked */
export function pandasOf(asked) {
  const url = `${urlOf(asked)}&format=csv`;
  const options = asked.token ? `, storage_options={"Authorization": "Bearer " + os.environ["${TOKEN}"]}` : "";
  const imports = asked.token ? "import os\n\nimport pandas as pd" : "import pandas as pd";
  return `${imports}\n\nframe = pd.read_csv(${pythonQuote(url)}${options})\n`;
}

/** @param {Asked} asked */
export function plutoOf(asked) {
  const token = asked.token ? `os.environ["${TOKEN}"]` : '"any"';
  const imports = asked.token ? "import os\n\nimport pluto.query as pq" : "import pluto.query as pq";
  const runs = asked.runs.join(", ");
  const metrics = asked.metrics.map(pythonQuote).join(", ");
  return [
    `${imports}\n`,
    `client = pq.Client(api_token=${token}, host=${pythonQuote(asked.origin)})`,
    `frames = {run: client.get_metrics(${pythonQuote(asked.project)}, run, metric_names=[${metrics}]) for run in [${runs}]}\n`,
  ].join("\n");
}

/** @param {Asked} asked */
function urlOf({ origin, project, runs, metrics, points, smooth, steps }) {
  return `${origin}/view/series?${seriesQuery(project, { runs, metrics }, { points, smooth, steps })}`;
}

/**
 * A text as one word of a shell, whatever it holds.
 * @param {string} text
 */
export function shellQuote(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * A text as a literal of Python: printable ASCII as it is, all else escaped.
 * @param {string} text
 */
export function pythonQuote(text) {
  const inside = Array.from(text.toWellFormed(), (letter) => {
    if (letter === "\\" || letter === '"') return `\\${letter}`;
    const code = letter.codePointAt(0) ?? 0;
    if (code >= 0x20 && code < 0x7f) return letter;
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
  return `"${inside.join("")}"`;
}
