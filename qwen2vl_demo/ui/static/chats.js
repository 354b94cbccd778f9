// Which of the kept chats this tab shows: it keeps what the server says of it, brings it back when the page is loaded
// again, and opens, begins and deletes chats for the list (chat-list.js).
//
// A chat is known by the id that its text carries. Two tabs never show the same one (open-chats.js). A new tab takes
// the newest chat over only where no other tab is open.
(() => {
  const TAB = "qwen2vl.tab"; // in sessionStorage, which survives a reload: the id of the chat that is shown, or NEW
  const NEW = "new";
  const EARLIER = "qwen2vl.chat."; // in localStorage: chats that earlier versions kept
  const PENDING = "qwen2vl.pending."; // there too: what could not be written before the page went away
  const ID = /^[0-9a-f]{32}$/;
  const PAUSE = 300; // ms between two writes of a chat that grows; as many more as it has thousands of characters
  const LOOK = 15000; // ms between two looks whether the server still has the files of the chat
  const SETTLE = 200; // ms after which other tabs see what this one holds
  const SAID = 10000; // ms for which a sentence stands
  const ELSEWHERE = "This chat is open in another tab.";
  const sleep = ms => new Promise(done => setTimeout(done, ms));
  const storage = () => window.qwen2vl.chatStorage();
  const channel = typeof BroadcastChannel === "function" ? new BroadcastChannel("qwen2vl.chats") : null;
  const listeners = [];

  let current = null; // the id of the chat that this tab shows; null for one that has no question yet
  let place = null; // what this tab holds while it shows none
  let shown = ""; // the text of the current chat as it was kept when it was opened
  let request = 0; // of the latest chat that was asked for
  let looked = 0;
  let timer = 0;
  let arrived = () => {};
  const loaded = new Promise(done => (arrived = done)); // the server has answered for the first time
  const left = new Set(); // ids of chats that this tab showed before
  const gone = new Set(); // ids of deleted ones: what is still on its way for them is not kept
  const unsaved = new Map(); // id -> {about, text} that is not written yet
  const opened = []; // what #open-chat tells the server next
  const forgotten = []; // and #forget-chat

  const firstLine = text => text.split("\n", 1)[0];

  function aboutOf(text) {
    try {
      const about = JSON.parse(text.split("\n", 2)[1]);
      return ID.test(about.id) && Array.isArray(about.files) ? about : null;
    } catch {
      return null;
    }
  }

  function say(sentence) {
    const note = document.createElement("p");
    note.className = "chats-note";
    note.setAttribute("role", "status");
    document.querySelectorAll(".chats-note").forEach(before => before.remove());
    (document.querySelector("dialog[open]") || document.body).append(note);
    note.textContent = sentence;
    setTimeout(() => note.remove(), SAID);
  }

  function changed() {
    listeners.forEach(listener => listener());
    channel?.postMessage("changed");
  }
  channel?.addEventListener("message", () => listeners.forEach(listener => listener()));

  function note(id) {
    try {
      sessionStorage.setItem(TAB, id || NEW);
    } catch {}
  }

  function dropPending(id) {
    try {
      localStorage.removeItem(PENDING + id);
    } catch {}
  }

  // This tab shows another chat from now on, or none.
  function turnTo(id, text) {
    if (current) {
      left.add(current);
      window.qwen2vl.openChats.release(current);
    }
    if (place) window.qwen2vl.openChats.release(place);
    left.delete(id);
    current = id;
    place = id ? null : `${NEW}.${Math.random().toString(36).slice(2)}`;
    shown = text || "";
    window.qwen2vl.openChats.hold(id || place);
    note(id);
    setTimeout(changed, SETTLE);
  }

  async function write(id, { about, text }) {
    const kept = await storage();
    const at = Date.now();
    const same = id === current && shown; // it was opened, and no word of it is new
    let news = false;
    const merged = old => {
      news = !old || old.title !== about.title;
      const chat = { name: "", pinned: false, thumb: "", picture: "", lacking: false, ...old, id };
      return { ...chat, title: about.title, files: about.files, at: old && same ? old.at : at };
    };
    const put = () =>
      kept.write([
        ["texts", id, text],
        ["chats", id, merged],
      ]);
    await put().catch(async () => {
      say("This browser has no room for this chat. Save it as JSON, or delete chats that you no longer need.");
      throw new Error("full");
    });
    if (unsaved.get(id)?.text === text) {
      unsaved.delete(id);
      dropPending(id);
    }
    if (news) changed();
    window.qwen2vl.chatFiles.keep(id, about.files, about.picture, () => gone.has(id));
  }

  async function flush() {
    clearTimeout(timer);
    timer = 0;
    for (const [id, entry] of [...unsaved]) await write(id, entry).catch(() => {});
  }

  // The server says what there is to keep: called with every update of an answer that is being written.
  function remember(text) {
    arrived();
    const about = aboutOf(text);
    if (!about || gone.has(about.id)) return;
    const { id } = about;
    if (text.startsWith("\n")) {
      if (id === current) erase(id).then(changed); // its only question was taken back
      return;
    }
    if (id !== current && !left.has(id)) turnTo(id);
    if (id === current && shown) {
      if (text === shown) return;
      if (firstLine(text) !== firstLine(shown)) shown = "";
    }
    unsaved.set(id, { about, text });
    timer ||= setTimeout(flush, PAUSE + text.length / 1000);
  }

  async function erase(id) {
    unsaved.delete(id);
    const kept = await storage();
    const chat = await kept.get("chats", id);
    const files = await window.qwen2vl.chatFiles.deletions(chat?.files || [], id);
    await kept.write([["chats", id], ["texts", id], ...files]);
    dropPending(id);
  }

  const textOf = async id => unsaved.get(id)?.text || (await (await storage()).get("texts", id)) || "";

  // Chats that lie in localStorage go where the others are: those of earlier versions, and what was still to be written
  // when a page was closed. Returns the new ids of the former by their old keys.
  async function takeOver() {
    const kept = await storage();
    const moved = new Map();
    for (const key of Object.keys(localStorage)) {
      const entry = key.startsWith(EARLIER) ? earlier(localStorage.getItem(key)) : null;
      const text = key.startsWith(PENDING) ? localStorage.getItem(key) : "";
      const about = text && aboutOf(text);
      const chat = entry || (about && { at: Date.now(), text, about });
      if (!chat) continue;
      const { id, title, files } = chat.about;
      const blank = { name: "", pinned: false, thumb: "", picture: "", lacking: false };
      const merged = old => ({ ...blank, ...old, id, title, files, at: chat.at });
      await kept.write([
        ["texts", id, chat.text],
        ["chats", id, merged],
      ]);
      moved.set(key, id);
      if (kept.lasting) localStorage.removeItem(key);
    }
    return moved;
  }

  const newId = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, "0")).join("");

  // What an earlier version kept of a chat, {at, chat: its JSON}, as it is kept now; null for what is none.
  function earlier(stored) {
    try {
      const { at, chat } = JSON.parse(stored);
      const record = JSON.parse(chat);
      const id = ID.test(record.cache_salt) ? record.cache_salt : newId();
      const files = [...new Set(record.turns.flatMap(turn => turn.media || []).map(medium => medium.file))];
      const title = String(record.turns[0].question).replace(/\s+/g, " ").trim().slice(0, 120);
      const about = { id, title, files, picture: "" };
      return { at: at || 0, about, text: `${JSON.stringify({ ...record, cache_salt: id })}\n${JSON.stringify(about)}` };
    } catch {
      return null;
    }
  }

  // The id of the chat that a page which was just loaded shows; null for none.
  async function claim(moved) {
    const { hold, release, elsewhere } = window.qwen2vl.openChats;
    const kept = await storage();
    const noted = sessionStorage.getItem(TAB);
    const mine = moved.get(EARLIER + noted) || noted;
    if (mine) {
      for (let i = 0; i < 10 && ID.test(mine); i++) {
        // after a reload the old page may need a moment to release its lock
        if (await hold(mine)) {
          if (await kept.get("texts", mine)) return mine;
          release(mine);
          return null;
        }
        await sleep(60);
      }
      return null; // this tab had none yet, or it is a duplicate, and the original one keeps the chat
    }
    const shown = (await kept.values("chats")).filter(chat => !window.qwen2vl.chatDeletion.isHidden(chat.id));
    const [newest] = shown.sort((a, b) => b.at - a.at);
    const alone = !(await elsewhere()).size;
    return alone && newest && (await hold(newest.id)) ? newest.id : null;
  }

  // What a page that was just loaded asks the server to show.
  async function recall() {
    try {
      const id = await claim(await takeOver());
      const text = id ? await textOf(id) : "";
      const chat = id && (await (await storage()).get("chats", id));
      const files = await window.qwen2vl.chatFiles.wanted(chat?.files).catch(() => []);
      turnTo(id, text);
      loaded.then(() => window.qwen2vl.chatFiles.sweep()).catch(() => {});
      loaded.then(() => window.qwen2vl.serverChats.update());
      loaded.then(() => window.qwen2vl.chatDeletion.resume());
      if (!files.length) return text;
      loaded.then(() => id === current && show(id, text, files)); // the chat comes when its files are there
    } catch {
      turnTo(null);
    }
    return "";
  }

  // Has the server show a chat, and gives it the files that it no longer has.
  async function show(id, text, files) {
    let given = [];
    const mine = ++request;
    try {
      given = await window.qwen2vl.chatFiles.giveBack(files);
    } catch (refused) {
      say(refused.message);
    }
    if (mine !== request) return false; // another one was asked for meanwhile
    if (id !== current) turnTo(id, text);
    opened.push([text, given]);
    document.querySelector("#open-chat").click();
    return true;
  }

  // Resolves to whether the chat is open now.
  async function open(id) {
    if (id === current) return true;
    await window.qwen2vl.serverChats.update(); // another browser may have gone on with it
    if (!(await window.qwen2vl.openChats.hold(id))) {
      say(ELSEWHERE);
      return false;
    }
    const text = await textOf(id);
    const chat = await (await storage()).get("chats", id);
    const files = text ? await window.qwen2vl.chatFiles.wanted(chat?.files).catch(() => []) : [];
    const shows = Boolean(text) && (await show(id, text, files));
    if (!shows && id !== current) window.qwen2vl.openChats.release(id);
    return shows;
  }

  // While the page stood still the server may have forgotten the files: it did not know that the tab was open.
  async function heal() {
    if (!current || document.hidden || Date.now() - looked < LOOK) return;
    looked = Date.now();
    const id = current;
    const { wanted } = window.qwen2vl.chatFiles;
    const { files = [] } = (await (await storage()).get("chats", id)) || {};
    const some = await wanted([...new Set([...files.slice(0, 1), ...files.slice(-1)])]).catch(() => []);
    const lost = some.length ? await wanted(files).catch(() => []) : [];
    if (lost.length && id === current) await show(id, await textOf(id), lost);
  }

  // "New chat" was pressed.
  function leave() {
    request++;
    flush();
    turnTo(null);
  }

  // Whether a chat may be deleted; says why not.
  async function mayRemove(id) {
    const open = id !== current && (await window.qwen2vl.openChats.elsewhere()).has(id);
    if (open) say(ELSEWHERE);
    return !open;
  }

  // Deletes a chat here and has the server delete its files. Resolves to whether it may.
  async function remove(id) {
    if (!(await mayRemove(id))) return false;
    const text = await textOf(id);
    gone.add(id);
    if (id === current) turnTo(null);
    await erase(id);
    forgotten.push(text);
    document.querySelector("#forget-chat").click();
    changed();
    return true;
  }

  async function list() {
    await flush();
    const found = await (await storage()).values("chats");
    const { isHidden } = window.qwen2vl.chatDeletion;
    return found
      .filter(chat => !gone.has(chat.id) && !isHidden(chat.id))
      .sort((a, b) => b.pinned - a.pinned || b.at - a.at);
  }

  async function alter(id, values) {
    await (await storage()).write([["chats", id, old => old && { ...old, ...values }]]);
    changed();
    window.qwen2vl.serverChats.noted(id);
  }

  addEventListener("pagehide", () => {
    for (const [id, { text }] of unsaved) {
      try {
        localStorage.setItem(PENDING + id, text);
      } catch {}
    }
    flush();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? flush() : heal()));
  document.addEventListener("focusin", event => event.target.closest?.("#composer") && heal());
  ((window.qwen2vl ||= {}).keys ||= []).push({
    keys: ["Ctrl", "Shift", "O"],
    does: "Begin a new chat",
    matches: event => (event.ctrlKey || event.metaKey) && event.shiftKey && !event.altKey && event.code === "KeyO",
    press: () => {
      document.querySelector("#new-chat")?.click();
      document.querySelector("#composer textarea")?.focus();
    },
  });

  const chats = {
    ...{ list, open, mayRemove, remove, alter, erase, textOf, newId, say, changed, leave, current: () => current },
    opening: () => opened.shift() || ["", []],
    forgetting: () => forgotten.shift() || "",
    onChange: listener => listeners.push(listener),
  };
  Object.assign((window.qwen2vl ||= {}), { recall, remember, chats });
})();
