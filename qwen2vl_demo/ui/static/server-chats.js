// The chats that the server keeps for whoever has logged in (ui/chat_sync.py), brought into this browser: those that
// are not here, and those that another browser has gone on with or deleted. Without --keep-chats nothing of this
// happens.
//
// A chat that was brought here, or kept there, knows by `server` whose it is there and which version was seen last.
(() => {
  const PATIENCE = 20000; // ms that an answer may take
  const LONGEST = 10000; // ms
  const waiting = new Map(); // number of a request -> what takes its answer
  let asked = 0;
  let syncing = null;
  const storage = () => window.qwen2vl.chatStorage();

  function ask(request) {
    if (!window.qwen2vl.askServerChats) return Promise.resolve(null); // nothing is kept there
    const re = ++asked;
    return new Promise(done => {
      waiting.set(re, done);
      setTimeout(() => waiting.delete(re) && done(null), PATIENCE);
      window.qwen2vl.askServerChats({ ...request, re });
    });
  }

  function receive(text) {
    const answer = JSON.parse(text);
    const done = waiting.get(answer.re);
    waiting.delete(answer.re);
    done?.(answer);
  }

  async function bring(kept, owner, { id, title, at, version, files, name, pinned }) {
    const here = await kept.get("chats", id);
    const server = { owner, version };
    const blank = { id, thumb: "", picture: "", lacking: false };
    const same = here?.server?.owner === owner && here.server.version === version;
    const about = { title, files, name, pinned, server };
    const merged = old => ({ ...blank, at, ...old, ...about });
    if (same) return kept.write([["chats", id, merged]]);
    const answer = await ask({ do: "text", id });
    if (!answer?.text) return null;
    return kept.write([
      ["texts", id, answer.text],
      ["chats", id, old => ({ ...merged(old), at })],
    ]);
  }

  async function sync() {
    const found = await ask({ do: "list" });
    if (!found?.chats) return;
    const { owner } = found;
    const kept = await storage();
    const { chats, openChats } = window.qwen2vl;
    const open = await openChats.elsewhere();
    const shown = id => id === chats.current() || open.has(id); // its own tab knows better
    for (const chat of found.chats) if (!shown(chat.id)) await bring(kept, owner, chat);
    const there = new Set(found.chats.map(chat => chat.id));
    for (const { id, server } of await kept.values("chats"))
      if (server?.owner === owner && !there.has(id) && !shown(id)) await chats.erase(id);
    for (const { id, version } of found.chats)
      if (shown(id)) await kept.write([["chats", id, old => old && { ...old, server: { owner, version } }]]);
    chats.changed();
  }

  // Brings everything up to date; one at a time. A server that does not answer is waited for only so long.
  function update() {
    if (!window.qwen2vl.askServerChats) return null;
    syncing ||= Promise.race([sync(), new Promise(done => setTimeout(done, LONGEST))])
      .catch(() => {})
      .finally(() => (syncing = null));
    return syncing;
  }

  // The user has named a chat, or pinned it.
  async function noted(id) {
    const chat = await (await storage()).get("chats", id);
    if (chat) ask({ do: "note", id, name: chat.name || "", pinned: Boolean(chat.pinned) });
  }

  Object.assign((window.qwen2vl ||= {}), { serverChats: { receive, update, noted } });
})();
