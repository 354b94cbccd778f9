// The list of the kept chats: a drawer at the left, to open, search, rename, pin, delete, export and import them.
(() => {
  const DAY = 86400000;
  const MOST_NAME = 120;
  const UNITS = ["bytes", "KB", "MB", "GB"];
  let drawer = null;
  let list = null;
  let search = null;
  let status = null;
  let texts = new Map(); // id -> the words of a chat, in lower case, for the search
  let busy = false; // a name is being written: the list stays as it is
  let drawing = 0;
  let bytes = 0; // of all kept files

  function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (key in made) made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children.filter(Boolean));
    return made;
  }
  const button = (label, act, properties = {}) =>
    element("button", { type: "button", textContent: label, onclick: act, ...properties });

  function size(bytes) {
    const unit = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
    const value = bytes / 1000 ** unit;
    return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
  }

  function when(at) {
    const then = new Date(at);
    const midnight = new Date().setHours(0, 0, 0, 0);
    if (at >= midnight) return then.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
    if (at >= midnight - DAY) return "Yesterday";
    const year = then.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
    return then.toLocaleDateString("en-GB", { day: "numeric", month: "short", year });
  }

  const titleOf = chat => chat.name || chat.title || "Without words";

  // What a visitor could search for in a chat: its questions, answers and names of files.
  function wordsOf(text) {
    const found = [];
    const walk = (value, key) => {
      if (typeof value === "string") {
        if (["question", "text", "name"].includes(key)) found.push(value);
      } else if (value && typeof value === "object")
        for (const [inner, part] of Object.entries(value)) walk(part, Array.isArray(value) ? key : inner);
    };
    try {
      walk(JSON.parse(text.split("\n", 1)[0]), "");
    } catch {}
    return found.join("\n").toLowerCase();
  }

  async function matching(chats, words) {
    if (!words) return chats;
    for (const { id } of chats) if (!texts.has(id)) texts.set(id, wordsOf(await window.qwen2vl.chats.textOf(id)));
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    return chats.filter(chat => {
      const all = `${titleOf(chat).toLowerCase()}\n${texts.get(chat.id)}`;
      return wanted.every(word => all.includes(word));
    });
  }

  function row(chat, elsewhere) {
    const { chats } = window.qwen2vl;
    const mine = chat.id === chats.current();
    const title = element("span", { className: "title", textContent: titleOf(chat) });
    const facts = [when(chat.at), chat.pinned && "pinned", elsewhere && "open in another tab"];
    if (chat.lacking) facts.push("without some files");
    const face = chat.thumb
      ? element("img", { src: chat.thumb, alt: "" })
      : element("span", { className: "blank", "aria-hidden": "true" });
    const time = element("span", { className: "facts", textContent: facts.filter(Boolean).join(" · ") });
    time.title = new Date(chat.at).toLocaleString("en-GB");
    const opener = element(
      "button",
      { type: "button", className: "opener", onclick: () => open(chat.id) },
      face,
      element("span", { className: "said" }, title, time),
    );
    if (mine) opener.setAttribute("aria-current", "true");
    const item = element("li", { className: mine ? "mine" : "" }, opener);
    item.dataset.id = chat.id;
    const named = word => ({ className: word.toLowerCase(), "aria-label": `${word} “${titleOf(chat)}”` });
    const tools = element(
      "span",
      { className: "tools" },
      button("Rename", () => rename(item, chat), named("Rename")),
      button(chat.pinned ? "Unpin" : "Pin", () => chats.alter(chat.id, { pinned: !chat.pinned }), {
        ...named(chat.pinned ? "Unpin" : "Pin"),
        className: "pin",
        title: "A pinned chat stands first, and keeps its files when others let theirs go.",
      }),
      button("Delete", () => remove(item, chat), named("Delete")),
    );
    item.append(tools);
    return item;
  }

  async function open(id) {
    say("Opening…");
    const opened = await window.qwen2vl.chats.open(id);
    say("");
    if (opened) drawer.close();
  }

  function say(words) {
    status.textContent = words;
  }

  // Puts something else in the place of a row until it is done.
  function instead(item, ...parts) {
    busy = true;
    item.replaceChildren(...parts);
    item.className = "asking";
  }

  async function done(id, selector) {
    busy = false;
    await draw();
    (list.querySelector(`[data-id="${id}"] ${selector}`) || search).focus();
  }

  function rename(item, chat) {
    const field = element("input", { type: "text", value: titleOf(chat), maxLength: MOST_NAME, "aria-label": "Name" });
    const keep = async () => {
      const name = field.value.trim();
      if (name !== titleOf(chat)) await window.qwen2vl.chats.alter(chat.id, { name: name === chat.title ? "" : name });
      done(chat.id, ".rename");
    };
    const form = element(
      "form",
      { onsubmit: event => (event.preventDefault(), keep()) },
      field,
      element("button", { type: "submit", textContent: "Save" }),
      button("Cancel", () => done(chat.id, ".rename")),
    );
    instead(item, form);
    field.select();
  }

  async function remove(item, chat) {
    const next = (item.nextElementSibling || item.previousElementSibling)?.dataset.id;
    if (await window.qwen2vl.chatDeletion.begin(chat.id, titleOf(chat))) done(next, ".opener");
  }

  function summary(chats, lasting) {
    const count = `${chats.length} ${chats.length === 1 ? "chat" : "chats"}`;
    if (!lasting)
      return (
        `${count}. This browser stores nothing for this page (a private window?): they are gone when the page is ` +
        "closed or loaded again. Save JSON keeps one."
      );
    const where = window.qwen2vl.askServerChats ? "in this browser and on the server" : "in this browser only";
    return `${count}, ${where}${bytes ? `; ${size(bytes)} of files` : ""}.`;
  }

  // The rows, as they are now; what has the focus keeps it. With an event of the search nothing else has changed.
  async function draw(event) {
    if (!drawer?.open || busy) return;
    const mine = ++drawing;
    const { chats, chatFiles, chatStorage, openChats } = window.qwen2vl;
    const all = await chats.list();
    const elsewhere = await openChats.elsewhere();
    const found = await matching(all, search.value.trim());
    if (!event) bytes = await chatFiles.bytes();
    const { lasting } = await chatStorage();
    if (mine !== drawing || busy) return;
    const focused = document.activeElement;
    const at = focused?.closest("#chats li")?.dataset.id;
    const which = at && [...focused.classList][0];
    list.replaceChildren(...found.map(chat => row(chat, elsewhere.has(chat.id))));
    if (at) list.querySelector(`[data-id="${at}"] .${which}`)?.focus();
    const none = all.length ? "No chat has these words." : "No chats yet. What you ask is kept here.";
    drawer.querySelector(".none").textContent = found.length ? "" : none;
    drawer.querySelector(".summary").textContent = summary(all, lasting);
    drawer.querySelector(".export").disabled = !all.length;
  }

  // Up and down go from chat to chat.
  function key(event) {
    const from = event.target.closest?.("#chats li, #chats input[type=search]");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (busy || !from || !step) return;
    const openers = [...list.querySelectorAll(".opener")];
    const to = openers.indexOf(from.querySelector?.(".opener")) + step;
    event.preventDefault();
    (to < 0 ? search : openers[to])?.focus();
  }

  // Escape ends the writing of a name before it closes the list.
  function escape(event) {
    if (!busy) return;
    event.preventDefault();
    const id = list.querySelector(".asking")?.dataset.id;
    done(id, ".opener");
  }

  // A click on the page beside the drawer closes it.
  function beside(event) {
    if (event.target === drawer && event.clientX > drawer.getBoundingClientRect().right) drawer.close();
  }

  async function exportAll() {
    say("Writing…");
    await window.qwen2vl.chatArchive.save();
    say("");
  }

  async function importAll(event) {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    say("Reading…");
    say(await window.qwen2vl.chatArchive.open(file));
    texts = new Map();
    draw();
  }

  function build() {
    search = element("input", { type: "search", placeholder: "Search", "aria-label": "Search chats", oninput: draw });
    list = element("ul", { "aria-label": "Chats" });
    status = element("p", { className: "status", role: "status" });
    const chooser = element("input", { type: "file", accept: ".zip", hidden: true, onchange: importAll });
    const begin = () => {
      drawer.close();
      document.querySelector("#new-chat").click();
      document.querySelector("#composer textarea").focus();
    };
    drawer = element(
      "dialog",
      { id: "chats", "aria-labelledby": "chats-title" },
      element(
        "header",
        {},
        element("h2", { id: "chats-title", textContent: "Chats" }),
        button("Close", () => drawer.close(), { className: "close" }),
      ),
      button("New chat", begin, { className: "begin", title: "Ctrl+Shift+O" }),
      search,
      list,
      element("p", { className: "none" }),
      element(
        "footer",
        {},
        status,
        element("p", { className: "summary" }),
        button("Export all", exportAll, { className: "export", title: "All chats with their files, as one ZIP file." }),
        button("Import", () => chooser.click(), { title: "Brings the chats of such a file back." }),
        chooser,
      ),
    );
    drawer.addEventListener("keydown", key);
    drawer.addEventListener("cancel", escape);
    drawer.addEventListener("click", beside);
    drawer.addEventListener("close", () => (busy = false));
    document.body.append(drawer);
    window.qwen2vl.chats.onChange(() => {
      texts = new Map();
      draw();
    });
  }

  function toggleChats() {
    if (!drawer?.isConnected) build();
    if (drawer.open) return drawer.close();
    search.value = "";
    texts = new Map();
    drawer.showModal();
    if (matchMedia("(hover: hover)").matches) search.focus(); // elsewhere a keyboard would cover the list
    draw();
    window.qwen2vl.serverChats.update();
  }

  Object.assign((window.qwen2vl ||= {}), { toggleChats });
})();
