// What a model writes before and after something was changed.

import { make } from "./dom.js";
import { countSame } from "./readings.js";
import { makePanel, taskOf } from "./tasks.js";

/**
 * Make the part of the view that shows writing: both answers to a question, or texts from the same
 * random numbers, written when the reader asks for them.
 * @param {import("./readings.js").Side} first
 * @param {import("./readings.js").Side} second
 * @param {import("./state.js").PageState} state
 * @returns {HTMLElement}
 */
export function makeWriting(first, second, state) {
  if (state.chat !== undefined) return makeAnswers(first, second);
  const body = {
    folder: Number(state.folder ?? 0),
    step: state.step === undefined ? null : Number(state.step),
    edit: state.edit,
  };
  const draw = ({ before, after }) => [
    make(
      "p",
      { className: "hint" },
      "Both columns were written with the same random numbers; what differs is underlined.",
    ),
    makeColumns(
      makeTexts(first.name, before.map((text) => [text])),
      makeTexts(second.name, after.map((text, i) => marked(before[i], text))),
    ),
  ];
  return makePanel(taskOf("write", body), "Write five texts before and after", draw);
}

/** The answer that each side has written to the question of the scene. */
function makeAnswers(first, second) {
  const [before, after] = [first, second].map(({ reading }) => answerOf(reading));
  const isSame = countSame(first.reading.tokens, second.reading.tokens) === second.reading.tokens.length;
  return make(
    "div",
    {},
    make("p", { className: "hint" }, isSame && before === after ? "Both answers are the same." : "What differs is underlined."),
    makeColumns(
      makeSide(first.name, make("pre", {}, before)),
      makeSide(second.name, make("pre", {}, ...marked(before, after))),
    ),
  );
}

const answerOf = ({ tokens }) =>
  tokens
    .filter(({ loss }) => loss !== null)
    .map(({ text }) => text.replaceAll("\\n", "\n"))
    .join("");

const makeColumns = (...sides) => make("div", { className: "sides" }, ...sides);
const makeSide = (name, content) => make("section", {}, make("h3", {}, name), content);
const makeTexts = (name, texts) =>
  makeSide(name, make("ol", {}, ...texts.map((parts) => make("li", {}, ...parts))));

/** A text with a mark from where it differs from another; an earlier end is said. */
function marked(other, text) {
  let same = 0;
  while (same < text.length && text[same] === other[same]) same += 1;
  if (same === text.length) return [text, ...(other.length > same ? [make("mark", {}, " (end)")] : [])];
  return [text.slice(0, same), make("mark", {}, text.slice(same))];
}
