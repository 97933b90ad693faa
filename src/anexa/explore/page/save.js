// Saves the page as one HTML file: its modules and styles, and the answers that it was given.

import { newest } from "./answers.js";

const MAX_BYTES = 5_000_000;
const START = "/explore/main.js";
const PREFIX = "anexa"; // of the modules' names in the file

/** Imports of a module; group 2 is the path. */
const IMPORT = /(\bfrom\s+|\bimport\s*\(\s*|\bimport\s+)"(\.{0,2}\/[\w./-]+\.js)"/g;

/** What the file may do: run its own scripts, and no request at all. */
const POLICY =
  "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data:";

/** Offer the present view as a file for download. */
export async function save() {
  const name = document.title.split(" · ").slice(0, -1).join(" ").replace(/[^\w.-]+/g, "-");
  const url = URL.createObjectURL(new Blob([await makeFile()], { type: "text/html" }));
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = `${name || "anexa"}.html`;
  anchor.click();
  URL.revokeObjectURL(url);
}

/**
 * Write the file. It has the answers for the present view, and for as many of the views before as
 * there is room for.
 * @returns {Promise<string>}
 */
async function makeFile() {
  const parser = new DOMParser();
  const page = parser.parseFromString(await read("/"), "text/html");
  const styles = [...page.querySelectorAll("link[rel=stylesheet]")];
  const rules = await Promise.all(styles.map((style) => read(style.getAttribute("href"))));
  page.querySelectorAll("link, script, meta[charset]").forEach((element) => element.remove());
  const modules = await readModules();
  const imports = Object.fromEntries(
    [...modules].map(([path, code]) => [PREFIX + path, `data:text/javascript;charset=utf-8,${encodeURIComponent(code)}`]),
  );
  const head = [
    '<meta charset="utf-8" />',
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}" />`,
    `<style>${rules.join("\n")}</style>`,
    `<script type="importmap">${inScript({ imports })}</script>`,
    page.head.innerHTML,
  ].join("\n");
  const size = new Blob([head, page.body.innerHTML]).size;
  const content = inScript({ hash: location.hash, answers: newest(MAX_BYTES - size - 1000) });
  return `<!doctype html>
<html lang="en">
<head>${head}</head>
<body>${page.body.innerHTML}
<script type="application/json" id="saved">${content}</script>
<script type="module">import "${PREFIX}${START}";</script>
</body>
</html>
`;
}

/** The modules of the page by path, with names of modules instead of paths in their imports. */
async function readModules() {
  const modules = new Map();
  const waiting = [START];
  while (waiting.length) {
    const path = waiting.pop();
    if (modules.has(path)) continue;
    const code = (await read(path)).replace(IMPORT, (_, start, wanted) => {
      const { pathname } = new URL(wanted, `http://page${path}`);
      waiting.push(pathname);
      return `${start}"${PREFIX}${pathname}"`;
    });
    modules.set(path, code);
  }
  return modules;
}

async function read(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`The page's file ${path} could not be read.`);
  return response.text();
}

/** JSON that cannot end the element it stands in. */
const inScript = (value) => JSON.stringify(value).replaceAll("<", "\\u003c");
