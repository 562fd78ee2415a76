import js from "@eslint/js";

const browser = [
  "AbortController AbortSignal Blob CSS DOMException Event HTMLElement HTMLInputElement Headers Node Path2D Request ResizeObserver",
  "Response TextDecoderStream URL URLSearchParams addEventListener clearInterval clearTimeout devicePixelRatio document fetch",
  "getComputedStyle history localStorage location matchMedia navigator performance requestAnimationFrame sessionStorage setInterval",
  "setTimeout uPlot console",
]
  .join(" ")
  .split(" ");

export default [
  { ignores: ["build/", "node_modules/", ".venv/", "proxy/page/vendor/"] },
  js.configs.recommended,
  {
    files: ["**/*.js"],
    languageOptions: { ecmaVersion: 2024, globals: Object.fromEntries(browser.map((name) => [name, "readonly"])) },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: "error",
      "no-implicit-coercion": "error",
      "no-param-reassign": "error",
      "no-restricted-properties": [
        "error",
        ...["innerHTML", "outerHTML", "insertAdjacentHTML", "setHTMLUnsafe"].map((property) => ({ property, message: "text only" })),
      ],
      "no-restricted-globals": ["error", "name", "event", "eval"],
      "max-lines": ["error", 300],
      "max-len": ["error", { code: 160, ignoreUrls: true }],
      complexity: ["error", 20],
    },
  },
  // What is pure runs in Node as well: nothing there may look for a page.
  {
    files: ["proxy/page/pure/*.js"],
    rules: { "no-restricted-globals": ["error", "document", "location", "fetch", "sessionStorage", "localStorage", "uPlot", "Date.now"] },
  },
];
