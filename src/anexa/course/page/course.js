// The course: a list of chapters at #/, and a chapter at #/NUMBER.

import { get, takeToken } from "/explore/api.js";
import { make } from "/explore/dom.js";
import { followProjector, isProjector, setProjector } from "/explore/projector.js";
import { Task } from "/explore/tasks.js";

/**
 * An element of index.html.
 * @param {string} id
 */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const student = new URLSearchParams(location.search).get("student") ?? "";

let running = new AbortController();

/** Show the chapter of the present address, or the list. */
async function show() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  byId("status").textContent = "";
  try {
    const chapters = await get("course", {}, signal);
    const number = Number(location.hash.replace(/^#\/?/, ""));
    const parts = number ? await makeChapter(number, signal) : makeList(chapters);
    if (signal.aborted) return;
    byId("chapter").replaceChildren(...parts);
    byId("around").replaceChildren(...makeNeighbors(chapters, number));
    byId("chapter").focus({ preventScroll: true });
    window.scrollTo(0, 0);
  } catch (problem) {
    const error = /** @type {import("/page/api.js").ServerError} */ (problem);
    if (signal.aborted || error.name === "AbortError") return;
    byId("chapter").replaceChildren();
    byId("around").replaceChildren();
    const unknown = "Open the address that the terminal shows: it contains the token.";
    byId("status").textContent = error.status === 401 ? unknown : error.message;
  }
}

function makeList(chapters) {
  document.title = "Anexa: the course";
  const items = chapters.map(({ number, title }) =>
    make("li", { value: number }, make("a", { href: `#/${number}` }, title)),
  );
  return [
    make("h1", {}, "From a letter to a thought"),
    make(
      "p",
      {},
      "How a GPT works, in chapters of 45 minutes. Every line of code runs on your computer, every number comes ",
      "from there, and ",
      make("code", {}, "anexa check"),
      " says whether your solution of an exercise is right. Read them in any order: each says what it builds on.",
    ),
    make("ol", { className: "contents" }, ...items),
    make("h2", {}, "For teachers"),
    makeAdvice(),
  ];
}

function makeAdvice() {
  const code = (text) => make("code", {}, text);
  const items = [
    ["A chapter is a lesson. It ends with notes: what to do in which minutes, and common errors."],
    [
      "The key ",
      make("kbd", {}, "p"),
      " makes the type larger, for a projector, also in the glass box that a chapter opens.",
    ],
    [
      code("anexa learn --student ANNA"),
      " gives Anna numbers of her own. ",
      code("anexa check 3 mine.py --student ANNA"),
      " expects the results for them, on your computer as on hers.",
    ],
    [
      code("anexa check 3 FOLDER"),
      " checks the files of a class, with a line for each: ",
      code("ANNA.py"),
      " with Anna's numbers. With ",
      code('--student ""'),
      ", all of them with the numbers that everybody has without a name.",
    ],
    [code("anexa learn --notebook 3 three.ipynb"), " writes a chapter as a Jupyter notebook, without the notes."],
    [
      "Each student runs Anexa on a computer of their own. ",
      "Once it is installed, the course needs no network, no account and no graphics card.",
    ],
  ];
  return make("ul", {}, ...items.map((parts) => make("li", {}, ...parts)));
}

async function makeChapter(number, signal) {
  const { title, html } = await get(`course/${number}`, { student: student || undefined }, signal);
  document.title = `${title} · Anexa`;
  const body = make("article");
  body.innerHTML = html; // of the package, with other HTML escaped
  const views = [...body.querySelectorAll(".live")].map((panel) => new LiveView(panel));
  if (views.length) await refresh(views, signal);
  return [...body.childNodes];
}

/** A live view of a chapter: a link to the glass box, or the button that trains its model. */
class LiveView {
  /** @param {HTMLElement} panel */
  constructor(panel) {
    this.address = panel.dataset.address ?? "";
    this.asks = /[?&]chat=/.test(this.address); // a question, which only a chat model answers
    this.action = make("div", { className: "action" });
    panel.append(this.action);
  }

  /**
   * Link to the view of a model.
   * @param {number} folder
   */
  link(folder) {
    const address = `/${this.address}${this.address.includes("?") ? "&" : "?"}folder=${folder}`;
    this.action.replaceChildren(make("a", { href: address, target: "glass-box" }, "Open it in the glass box"));
  }

  /** @param {() => void} begin */
  offerTraining(begin) {
    const button = make("button", { type: "button", className: "primary" }, "Train the model first: a few seconds");
    button.addEventListener("click", begin);
    this.action.replaceChildren(button, make("span", { role: "alert" }, training.error ? ` ${training.error}` : ""));
  }

  /** @param {number} share of the steps that are done */
  showProgress(share) {
    const bar = make("progress", { max: 1, "aria-label": "Steps of the training" });
    if (share) bar.value = share;
    this.action.replaceChildren(bar, share ? `${Math.round(100 * share)} %` : "starting");
  }
}

let training = new Task("train", {});

/** Let the live views lead to the newest names model, or offer to train one; those of a question to the bundled one. */
async function refresh(allViews, signal) {
  const { folders } = await get("folders", {}, signal);
  const thinking = folders.filter((one) => one.chat).at(-1); // the bundled model
  allViews.filter((view) => view.asks).forEach((view) => view.link(thinking.id));
  const views = allViews.filter((view) => !view.asks);
  if (!views.length) return;
  const known = folders.filter((one) => one.steps && one.model_type === "microgpt").at(-1);
  if (known) return views.forEach((view) => view.link(known.id));
  const { steps } = await get("trial", {}, signal);
  let done = 0;
  const begin = () => {
    training = new Task("train", {});
    follow();
    training.start();
  };
  const follow = () => {
    training.onProgress = ({ records }) => (done += records.length);
    training.onChange = draw;
  };
  const draw = () => {
    if (training.running) views.forEach((view) => view.showProgress(done / steps));
    else if (training.result) views.forEach((view) => view.link(training.result.folder));
    else views.forEach((view) => view.offerTraining(begin));
  };
  follow();
  draw();
}

function makeNeighbors(chapters, number) {
  if (!number) return [];
  const link = (one, text) => make("a", { href: `#/${one.number}` }, text);
  const before = chapters.find((one) => one.number === number - 1);
  const after = chapters.find((one) => one.number === number + 1);
  return [
    before ? link(before, `← ${before.title}`) : "",
    after ? link(after, `${after.title} →`) : "",
  ];
}

const showProjector = () => byId("projector").setAttribute("aria-pressed", String(isProjector()));

function toggleProjector() {
  setProjector(!isProjector());
  showProjector();
}

byId("projector").addEventListener("click", toggleProjector);
window.addEventListener("keydown", (event) => {
  if (event.key === "p" && !event.ctrlKey && !event.metaKey && !event.altKey) toggleProjector();
});

followProjector();
showProjector();
byId("student").textContent = student;
takeToken("#/");
window.addEventListener("hashchange", show);
show();
