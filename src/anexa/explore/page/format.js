// Numbers as text, with a true minus sign; every digit shown is a digit of the number, rounded.

const NAMES = new Map([
  [Infinity, "∞"],
  [-Infinity, "−∞"],
]);

const dressed = (text) => text.replaceAll("-", "−").replace("e+", "e");

/**
 * Write a number with the fewest digits that lead back to it.
 * @param {number} x a number of double precision
 * @returns {string} text such as 0.1, −1.5e−7, NaN or −∞
 */
export function exact(x) {
  if (!Number.isFinite(x)) return NAMES.get(x) ?? "NaN";
  return Object.is(x, -0) ? "−0" : dressed(String(x));
}

/**
 * Write a number with the fewest digits that lead back to it in single precision.
 * @param {number} x a number of single precision
 * @returns {string} text such as 0.1, where `exact` would write 0.10000000149011612
 */
export function exactSingle(x) {
  if (!Number.isFinite(x) || x === 0) return exact(x);
  let digits = 1;
  while (Math.fround(Number(x.toPrecision(digits))) !== x && digits < 9) digits += 1;
  return exact(Number(x.toPrecision(digits)));
}

/**
 * Write a number rounded, so that it has room in a cell.
 * @param {number} x a number
 * @param {number} [room] number of characters; 7 are enough for any number
 * @returns {string} the text with the most digits that has room, without zeros at its end
 */
export function compact(x, room = 6) {
  if (!Number.isFinite(x) || x === 0) return exact(x).replace("−0", "0");
  for (let digits = Math.min(room, 17); digits > 1; digits -= 1) {
    const text = shortest(x, digits);
    if (text.length <= room) return text;
  }
  return shortest(x, 1);
}

/**
 * Write a number rounded to some significant digits.
 * @param {number} x a number
 * @param {number} digits at most 17
 * @returns {string} text such as −0.3016, 7.78e−4, 0 or NaN
 */
export const rounded = (x, digits) =>
  Number.isFinite(x) && x ? shortest(x, digits) : exact(x).replace("−0", "0");

/**
 * Write a probability rounded; one below 1 is never written as 1.
 * @param {number} p a number from 0 to 1
 * @param {number} digits
 * @returns {string} text such as 0.3016, 7.78e−4 or, with two digits, >0.99
 */
export const probability = (p, digits) =>
  p < 1 && rounded(p, digits) === "1" ? `>0.${"9".repeat(digits)}` : rounded(p, digits);

/**
 * Write a probability in percent; one below 1 is never written as 100.
 * @param {number} p a number from 0 to 1
 * @returns {string} text such as 30.2 or >99.9
 */
export const percent = (p) => {
  const text = rounded(100 * p, 3);
  return p < 1 && text === "100" ? ">99.9" : text;
};

/** Write a number with some significant digits, as a decimal or with an exponent. */
function shortest(x, digits) {
  const [mantissa, exponent] = x.toExponential(digits - 1).split("e");
  const scientific = dressed(`${trimmed(mantissa)}e${exponent}`);
  const power = Number(exponent);
  if (power >= digits || power < -6) return scientific; // toPrecision would write an exponent too
  const decimal = dressed(trimmed(x.toPrecision(digits)));
  return decimal.length <= scientific.length ? decimal : scientific;
}

const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

/**
 * Write a count with thin spaces between thousands.
 * @param {number} n a whole number
 * @returns {string} text such as 820 352
 */
export const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/**
 * Write the shape of a tensor.
 * @param {number[]} shape sizes of the axes
 * @returns {string} text such as 4 × 128; "number" if there are no axes
 */
export const shapeText = (shape) => (shape.length ? shape.map(count).join(" × ") : "number");

/**
 * Write a token so that its spaces are seen.
 * @param {{text: string}} token a token
 * @returns {string} its text, with ␣ and ↵ for what has no shape of its own
 */
export const tokenText = ({ text }) => text.replaceAll(" ", "␣").replaceAll("\n", "↵");
