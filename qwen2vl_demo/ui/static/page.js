// The client side of the page: stores the chat of this tab, labels elements that Gradio leaves unlabelled, and stores
// the chosen theme.
//
// Each tab has an id in sessionStorage, which survives a reload, and its chat is in localStorage under that id. A new
// tab takes over the newest chat only if no other tab is open (each open tab holds a Web Lock on its id), so two open
// tabs never share a chat. Without Web Locks (plain http from another machine) a new tab starts empty.
(() => {
  const CHAT = "qwen2vl.chat.";
  const TAB = "qwen2vl.tab";
  const OPEN = "qwen2vl.open.";
  const THEME = "qwen2vl.theme";
  const DRAFT = "qwen2vl.draft";
  const KEPT = 8;
  const sleep = ms => new Promise(done => setTimeout(done, ms));
  const locks = navigator.locks;
  let tab = null;

  // Resolves to whether this tab got the lock on the id; the lock is held until the tab is closed.
  const hold = id =>
    new Promise(done => {
      locks
        .request(OPEN + id, { ifAvailable: true }, lock => {
          done(Boolean(lock));
          return lock ? new Promise(() => {}) : undefined;
        })
        .catch(() => done(false));
    });

  const chats = () =>
    Object.keys(localStorage)
      .filter(key => key.startsWith(CHAT))
      .map(key => {
        try {
          return { key, at: JSON.parse(localStorage.getItem(key)).at || 0 };
        } catch {
          return { key, at: 0 };
        }
      })
      .sort((a, b) => b.at - a.at);

  async function claim() {
    const mine = sessionStorage.getItem(TAB);
    if (!locks) return mine || fresh();
    if (mine) {
      for (let i = 0; i < 10; i++) {
        // after a reload the old page may need a moment to release its lock
        if (await hold(mine)) return mine;
        await sleep(60);
      }
      return fresh(); // this tab is a duplicate, and the original one keeps the chat
    }
    const others = (await locks.query()).held.some(lock => lock.name.startsWith(OPEN));
    const newest = chats()[0];
    if (!others && newest && (await hold(newest.key.slice(CHAT.length)))) return newest.key.slice(CHAT.length);
    return fresh();
  }

  async function fresh() {
    const id = Array.from(crypto.getRandomValues(new Uint8Array(12)), b => b.toString(16).padStart(2, "0")).join("");
    if (locks) await hold(id);
    return id;
  }

  async function recall() {
    try {
      tab = tab || (await claim());
      sessionStorage.setItem(TAB, tab);
      chats()
        .slice(KEPT)
        .forEach(({ key }) => key !== CHAT + tab && localStorage.removeItem(key));
      return JSON.parse(localStorage.getItem(CHAT + tab) || "{}").chat || "";
    } catch {
      return ""; // storage is blocked: the chat is lost when the page is closed
    }
  }

  function remember(chat) {
    if (!tab) return;
    const put = () => localStorage.setItem(CHAT + tab, JSON.stringify({ at: Date.now(), chat }));
    try {
      if (!chat) localStorage.removeItem(CHAT + tab);
      else put();
    } catch {
      try {
        chats().forEach(({ key }) => key !== CHAT + tab && localStorage.removeItem(key));
        put();
      } catch {}
    }
  }

  // What stands in the line survives a reload, so that nothing typed is lost while the server is away.
  const line = () => document.querySelector("#composer textarea");
  let kept = null; // the draft as it is stored; null until the stored one was put back

  function keepDraft() {
    const text = line()?.value;
    if (kept === null || text === undefined || text === kept) return;
    kept = text;
    try {
      if (text) sessionStorage.setItem(DRAFT, text);
      else sessionStorage.removeItem(DRAFT);
    } catch {}
  }

  function putDraftBack() {
    const field = line();
    if (!field) return setTimeout(putDraftBack, 50);
    try {
      kept = sessionStorage.getItem(DRAFT) || "";
    } catch {
      kept = "";
    }
    if (!kept || field.value) return;
    Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(field, kept);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function paint(theme) {
    if (theme) document.body.classList.toggle("dark", theme === "dark");
    const dark = document.body.classList.contains("dark");
    const button = document.querySelector("#theme");
    if (button) button.setAttribute("aria-label", dark ? "Use light colours" : "Use dark colours");
  }
  function toggleTheme() {
    const theme = document.body.classList.contains("dark") ? "light" : "dark";
    try {
      localStorage.setItem(THEME, theme);
    } catch {}
    paint(theme);
  }

  function download(file) {
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.orig_name || "chat";
    document.body.append(link);
    link.click();
    link.remove();
  }

  // Expands the panel to the width of the page, or restores it.
  function toggleWide() {
    const wide = document.body.classList.toggle("wide");
    const button = document.querySelector("#wide");
    button.textContent = wide ? "Show the chat" : "Wide";
    button.setAttribute("aria-pressed", wide);
    window.dispatchEvent(new Event("resize"));
  }

  const NAMES = [
    ["#composer textarea", "Message"],
    ["#composer input[type=file]", "Attach files"],
    ["#chat .image-container > button, #chat .message button:not([aria-label]):has(img)", "Open picture"],
  ];
  const HINTS = [
    ["#undo", "Takes the last question back into the line above, with its files."],
    ["#clear", "Begins a new chat. This one is forgotten."],
    ["#save-json", "The whole chat with its pictures and clips, to be opened here again."],
    ["#save-html", "The whole chat as one page that any browser shows."],
    ["#open", "Opens a chat that was saved as JSON."],
    ["#wide", "Gives the panel the whole width of the page, and takes it back."],
    ["#webcam-button", "Takes a picture with the camera."],
  ];
  function label() {
    for (const [selector, hint] of HINTS) document.querySelectorAll(selector).forEach(e => e.title || (e.title = hint));
    for (const [selector, name] of NAMES)
      document
        .querySelectorAll(selector)
        .forEach(e => e.getAttribute("aria-label") || e.setAttribute("aria-label", name));
    document.querySelectorAll("#chat img, #composer img").forEach(e => e.getAttribute("alt") || (e.alt = "Picture"));
    for (const field of document.querySelectorAll("#settings textarea, #settings input")) {
      const caption = field.closest(".block")?.querySelector("[data-testid=block-info]")?.textContent.trim();
      if (caption && !field.getAttribute("aria-label")) field.setAttribute("aria-label", caption);
    }
  }

  Object.assign((window.qwen2vl ||= {}), { recall, remember, toggleTheme, toggleWide, download });
  try {
    paint(new URLSearchParams(location.search).get("__theme") || localStorage.getItem(THEME));
  } catch {}
  let due = false;
  const later = () => {
    if (!due) {
      due = true;
      requestAnimationFrame(() => {
        due = false;
        label();
        paint();
      });
    }
  };
  new MutationObserver(later).observe(document.body, { childList: true, subtree: true });
  label();
  putDraftBack();
  setInterval(keepDraft, 400);
  addEventListener("pagehide", keepDraft);
})();
