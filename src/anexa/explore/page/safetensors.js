// Reads the safetensors format: eight bytes with the size of a JSON header, the header, the numbers.

/**
 * @typedef {Float64Array | Float32Array | Int32Array} Numbers
 * @typedef {object} Tensor
 * @property {number[]} shape
 * @property {string} dtype F64, F32 or I32
 * @property {Numbers} data row by row
 * @typedef {Map<string, Tensor>} Tensors
 */

const TYPES = { F64: Float64Array, F32: Float32Array, I32: Int32Array };

/**
 * Parse a file of tensors.
 * @param {ArrayBuffer} buffer content of the file
 * @returns {Tensors} the tensors by name
 * @throws {Error} if the file is cut off, or has numbers of another type
 */
export function parseTensors(buffer) {
  const start = 8 + headerSize(buffer);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, start - 8)));
  const tensors = new Map();
  for (const [
    name,
    {
      dtype,
      shape,
      data_offsets: [first, end],
    },
  ] of Object.entries(header)) {
    if (!(dtype in TYPES)) throw new Error(`${name} has numbers of the type ${dtype}.`);
    if (start + end > buffer.byteLength) throw new Error(`The numbers of ${name} are cut off.`);
    const data = new TYPES[dtype](buffer.slice(start + first, start + end)); // a copy is aligned
    tensors.set(name, { shape, dtype, data });
  }
  return tensors;
}

function headerSize(buffer) {
  const size = buffer.byteLength < 8 ? NaN : Number(new DataView(buffer).getBigUint64(0, true));
  if (!(8 + size <= buffer.byteLength)) throw new Error("The tensors are cut off.");
  return size;
}
