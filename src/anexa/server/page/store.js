// What the browser keeps: the conversation, and the settings. Nothing leaves it but what is asked.

const CONVERSATION = "anexa.conversation";
const SETTINGS = "anexa.settings";

function read(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise; // not ours, or there is no storage: begin anew
  }
}

function write(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // Full, or not allowed: the page works without, until it is closed.
  }
}

/** Turns: { role, content, reasoning?, continues?, seconds?, tokens?, verdict?, trouble? } */
export const loadTurns = () => {
  const turns = read(CONVERSATION, []);
  return Array.isArray(turns) ? turns.filter((turn) => turn && typeof turn.content === "string") : [];
};
export const saveTurns = (turns) => write(CONVERSATION, turns);

export const loadSettings = () => {
  const settings = read(SETTINGS, {});
  return settings && typeof settings === "object" ? settings : {};
};
export const saveSettings = (settings) => write(SETTINGS, settings);

/** Hand the conversation to the user as a file. */
export function exportTurns(turns, model) {
  const file = new Blob([JSON.stringify({ model, messages: turns }, null, 2)], {
    type: "application/json",
  });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = "conversation.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
