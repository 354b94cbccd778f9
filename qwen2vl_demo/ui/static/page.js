// The client side of the page: keeps what is being typed, labels elements that Gradio leaves unlabelled, and stores the
// chosen theme.
(() => {
  const THEME = "qwen2vl.theme";
  const DRAFT = "qwen2vl.draft";

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
    ["#new-chat", "Begins a new chat (Ctrl+Shift+O). This one stays in the list of chats."],
    ["#chats-button", "The chats that this browser keeps."],
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

  Object.assign((window.qwen2vl ||= {}), { toggleTheme, toggleWide, download });
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
