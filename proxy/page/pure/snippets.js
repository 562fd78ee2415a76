/** Lines to copy that ask for what a chart shows: with curl, with Pluto's client, with pandas. */

import { MOST_A_REQUEST, batchesOf, seriesQuery } from "./requests.js";

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

/** A line for each request that it takes. @param {Asked} asked */
export function curlOf(asked) {
  const header = asked.token ? ` -H "Authorization: Bearer $${TOKEN}"` : "";
  return urlsOf(asked)
    .map((url) => `curl -s --compressed${header} ${shellQuote(url)}`)
    .join("\n");
}

/** @param {Asked} asked */
export function pandasOf(asked) {
  const [first = "", ...others] = urlsOf(asked).map((url) => pythonQuote(`${url}&format=csv`));
  const options = asked.token ? `, storage_options={"Authorization": "Bearer " + os.environ["${TOKEN}"]}` : "";
  const imports = asked.token ? "import os\n\nimport pandas as pd" : "import pandas as pd";
  if (!others.length) return `${imports}\n\nframe = pd.read_csv(${first}${options})\n`;
  const urls = [first, ...others].map((url) => `    ${url},\n`).join("");
  return `${imports}\n\nurls = [\n${urls}]\nframe = pd.concat([pd.read_csv(url${options}) for url in urls], ignore_index=True)\n`;
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

/** The requests that ask for all of it: one may name no more than some hundred series. @param {Asked} asked */
function urlsOf({ origin, project, runs, metrics, points, smooth, steps }) {
  const keys = runs.flatMap((run) => metrics.map((metric) => ({ run, metric })));
  return batchesOf(keys, MOST_A_REQUEST).map(
    (batch) => `${origin}/view/series?${seriesQuery(project, batch, { points, smooth, steps })}`,
  );
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
