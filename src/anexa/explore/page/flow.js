// Arranges the tensors of a model along the residual stream.

/**
 * A tensor, as /api/map describes it.
 * @typedef {object} Entry
 * @property {string} name
 * @property {"weight" | "activation"} kind
 * @property {number[]} shape
 * @property {string[]} axes names of the axes
 * @property {string} equation
 * @property {string} gradient equation of the gradient
 * @property {string[]} inputs names of tensors
 * @property {string} layer such as h.0; empty outside of the layers
 * @property {string} title name of the operation
 */

/**
 * A tensor with the weights it was computed with.
 * @typedef {{tensor: Entry, weights: Entry[]}} FlowNode
 * A branch, in rows of tensors that are computed side by side, and the tensor of the residual
 * stream at which it ends: where the stream begins, or a sum.
 * @typedef {{rows: FlowNode[][], joint: FlowNode | null}} FlowSection
 * @typedef {{before: FlowSection[], layers: {name: string, parts: FlowSection[]}[], after: FlowSection[]}} Flow
 */

/**
 * Arrange tensors.
 * @param {Entry[]} tensors in the order of computation
 * @returns {Flow}
 */
export function arrange(tensors) {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const stream = residualStream(tensors, byName);
  const before = [];
  const layers = [];
  const after = [];
  for (const group of groups(tensors)) {
    const parts = split(group.tensors, stream, byName);
    if (group.layer) layers.push({ name: group.layer, parts });
    else (layers.length ? after : before).push(...parts);
  }
  return { before, layers, after };
}

/** Runs of activations of the same layer. */
function groups(tensors) {
  const found = [];
  for (const tensor of tensors) {
    if (tensor.kind === "weight") continue;
    if (found.at(-1)?.layer !== tensor.layer) found.push({ layer: tensor.layer, tensors: [] });
    found.at(-1).tensors.push(tensor);
  }
  return found;
}

/**
 * Names of the tensors of the residual stream: from the last sum of two activations back along the
 * input that is the older one, and at last where it begins.
 */
function residualStream(tensors, byName) {
  const order = new Map(tensors.map(({ name }, i) => [name, i]));
  const isSum = (tensor) =>
    tensor?.inputs.filter((name) => byName.get(name)?.kind === "activation").length === 2 &&
    tensor.title.startsWith("add");
  const stream = new Set();
  let tensor = tensors.findLast(isSum);
  while (isSum(tensor)) {
    stream.add(tensor.name);
    const older = tensor.inputs.toSorted((a, b) => order.get(a) - order.get(b))[0];
    tensor = byName.get(older);
  }
  if (tensor) stream.add(tensor.name);
  return stream;
}

/** Split the activations of a layer at the sums of the residual stream. */
function split(tensors, stream, byName) {
  const parts = [];
  let branch = [];
  for (const tensor of tensors) {
    if (stream.has(tensor.name)) {
      parts.push({ rows: rowsOf(branch, byName), joint: stepOf(tensor, byName) });
      branch = [];
    } else {
      branch.push(tensor);
    }
  }
  if (branch.length) parts.push({ rows: rowsOf(branch, byName), joint: null });
  return parts;
}

const stepOf = (tensor, byName) => ({
  tensor,
  weights: tensor.inputs.map((name) => byName.get(name)).filter((one) => one?.kind === "weight"),
});

/** Rows of a branch: a tensor stands below all that it is computed from. */
function rowsOf(branch, byName) {
  const depths = new Map();
  const rows = [];
  for (const tensor of branch) {
    const above = tensor.inputs.filter((name) => depths.has(name)).map((name) => depths.get(name));
    const depth = Math.max(-1, ...above) + 1;
    depths.set(tensor.name, depth);
    (rows[depth] ??= []).push(stepOf(tensor, byName));
  }
  return rows;
}
