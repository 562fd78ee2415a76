/** Metrics as a tree: the parts of their names between slashes. */

/** @typedef {import("../types.d.ts").TreeNode} TreeNode */

/**
 * Return the tree of some names. A group with a single group in it and nothing else is shown as one: `a/b`.
 * @param {string[]} names
 * @returns {TreeNode[]}
 */
export function treeOf(names) {
  const root = { label: "", path: "", metric: null, children: [] };
  for (const name of [...new Set(names)].sort(compareNames)) insert(root, name);
  return root.children.map(folded);
}

/**
 * @param {TreeNode} root
 * @param {string} name
 */
function insert(root, name) {
  const parts = name.split("/");
  let node = root;
  let path = "";
  for (const [index, label] of parts.entries()) {
    path = index ? `${path}/${label}` : label;
    const last = index === parts.length - 1;
    let next = node.children.find((child) => child.label === label && (last ? child.metric === name : child.metric === null));
    if (next === undefined) {
      next = { label, path, metric: last ? name : null, children: [] };
      node.children.push(next);
    }
    node = next;
  }
}

/**
 * @param {TreeNode} node
 * @returns {TreeNode}
 */
function folded(node) {
  const [only] = node.children;
  if (node.metric === null && node.children.length === 1 && only !== undefined && only.metric === null) {
    return folded({ ...only, label: `${node.label}/${only.label}` });
  }
  return { ...node, children: node.children.map(folded) };
}

/**
 * @param {TreeNode} node
 * @returns {string[]} all metrics below a node
 */
export function metricsBelow(node) {
  return [...(node.metric === null ? [] : [node.metric]), ...node.children.flatMap(metricsBelow)];
}

/**
 * Return the names that hold each of a search's words, whatever their case.
 * @param {string[]} names
 * @param {string} search
 */
export function matching(names, search) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return names.filter((name) => words.every((word) => name.toLowerCase().includes(word)));
}

const COLLATOR = new Intl.Collator("en", { numeric: true });

/**
 * Numbers in names count as numbers: layer 2 before layer 10.
 * @param {string} one
 * @param {string} other
 */
export function compareNames(one, other) {
  return COLLATOR.compare(one, other) || (one < other ? -1 : Number(one > other));
}
