// Larger type, for a projector: chosen in the course, and used by the glass box of the same server.

import { isSaved } from "./answers.js";

const KEY = "anexa-course-projector"; // in the storage of the browser

export const isProjector = () => !isSaved && localStorage.getItem(KEY) === "1";

/** Choose the larger type, or the usual one, for all pages of this server. */
export function setProjector(isOn) {
  localStorage.setItem(KEY, isOn ? "1" : "");
  apply();
}

/** Use the type that is chosen, also when it is chosen on another page. */
export function followProjector() {
  window.addEventListener("storage", ({ key }) => key === KEY && apply());
  apply();
}

function apply() {
  document.documentElement.classList.toggle("projector", isProjector());
}
