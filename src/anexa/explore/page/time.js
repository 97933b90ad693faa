// Placeholder until the time view lands.
export async function showTime() {}
export async function show(root) { root.textContent = ""; }
