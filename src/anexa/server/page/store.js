// The conversation and the settings in the browser's local storage.

const CONVERSATION = "anexa.conversation";
const SETTINGS = "anexa.settings";

function read(name, fallback) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? fallback;
  } catch {
    return fallback; // damaged, or the browser allows no storage
  }
}

function write(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // Full or not allowed: then the conversation is kept until the page is closed.
  }
}

/** Load turns: { role, content, reasoning?, isCompletion?, thinkingSeconds?, totalTokens?, check?, error? } */
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

/** Download the conversation as a JSON file. */
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
