// Deleting a chat of the list, which can be taken back for some seconds: until then it is out of the list, but nothing
// of it is gone, here or on the server. A page that is closed meanwhile leaves it to the next one.
(() => {
  const TIME = 10000; // ms until it is final
  const LONGER = 3000; // more while the pointer or the focus is on the sentence
  const KEY = "qwen2vl.deleted."; // in localStorage, with the chat's id: when its deletion is final
  const hidden = new Map(); // the same where storage is blocked, and beside it
  let latest = null; // {id, open, timer, note}: the one that can be taken back

  function due(id) {
    try {
      return Number(localStorage.getItem(KEY + id)) || hidden.get(id) || 0;
    } catch {
      return hidden.get(id) || 0;
    }
  }

  const isHidden = id => due(id) > 0;

  function forget(id) {
    hidden.delete(id);
    try {
      localStorage.removeItem(KEY + id);
    } catch {}
  }

  async function finish(id) {
    if (!isHidden(id)) return; // it was taken back
    forget(id);
    await window.qwen2vl.chats.remove(id);
    window.qwen2vl.chats.changed();
  }

  function finishLatest() {
    if (!latest) return null;
    const { id, timer, note } = latest;
    latest = null;
    clearTimeout(timer);
    note.remove();
    return finish(id);
  }

  function wait(time) {
    latest.timer = setTimeout(
      () => (latest.note.matches(":hover, :focus-within") ? wait(LONGER) : finishLatest()),
      time,
    );
  }

  async function takeBack() {
    if (!latest) return;
    const { id, open, timer, note } = latest;
    latest = null;
    clearTimeout(timer);
    note.remove();
    forget(id);
    const { chats } = window.qwen2vl;
    chats.changed();
    if (open) await chats.open(id);
    const row = document.querySelector(`#chats[open] [data-id="${id}"] .opener`);
    (row || document.querySelector("#chats[open] input[type=search], #composer textarea"))?.focus();
  }

  function tell(title) {
    const note = document.createElement("p");
    note.className = "chats-note deleted";
    note.setAttribute("role", "status");
    document.querySelectorAll(".chats-note").forEach(before => before.remove());
    (document.querySelector("dialog[open]") || document.body).append(note);
    const undo = document.createElement("button");
    undo.type = "button";
    undo.textContent = "Undo";
    undo.setAttribute("aria-label", `Undo deleting “${title}”`);
    undo.onclick = takeBack;
    note.append(`Deleted “${title}”. `, undo);
    return note;
  }

  // Resolves to whether it may.
  async function begin(id, title) {
    const { chats } = window.qwen2vl;
    if (!(await chats.mayRemove(id))) return false;
    await finishLatest();
    const time = Date.now() + TIME;
    hidden.set(id, time);
    try {
      localStorage.setItem(KEY + id, time);
    } catch {}
    const open = id === chats.current();
    if (open) document.querySelector("#new-chat").click();
    latest = { id, open, timer: 0, note: tell(title) };
    wait(TIME);
    chats.changed();
    return true;
  }

  // What pages that were closed have left; what another tab may still take back is left to it for as long.
  function resume() {
    let keys = [];
    try {
      keys = Object.keys(localStorage).filter(key => key.startsWith(KEY));
    } catch {}
    for (const id of keys.map(key => key.slice(KEY.length)))
      setTimeout(() => finish(id), Math.max(0, due(id) + 2 * LONGER - Date.now()));
  }

  // A dialog that closes would take the sentence with it.
  document.addEventListener("close", () => latest && document.body.append(latest.note), true);
  document.addEventListener("keydown", event => {
    const typing = event.target.closest?.("input, textarea, [contenteditable=true]");
    if (!latest || typing || event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey)
      return;
    event.preventDefault();
    takeBack();
  });
  Object.assign((window.qwen2vl ||= {}), { chatDeletion: { begin, isHidden, resume, finish: finishLatest } });
})();
