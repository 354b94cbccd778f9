// The keys of the page, and the list of them that "?" opens. Other scripts add theirs to it with
// ((window.qwen2vl ||= {}).keys ||= []).push({keys: ["Ctrl", "Shift", "O"], does: "Begin a new chat"}). A key that is
// handled here also has `matches(event)`, which tells whether it was pressed, and `press(event)`.
(() => {
  const FIELDS = "input:not([type=range], [type=checkbox]), textarea, select, [contenteditable]";
  const typing = event => event.target instanceof Element && Boolean(event.target.closest(FIELDS));
  const plain = event => !event.ctrlKey && !event.metaKey && !event.altKey;
  const seen = selector => {
    const found = document.querySelector(selector);
    return found?.checkVisibility({ visibilityProperty: true }) ? found : null;
  };
  let dialog = null;

  const keys = ((window.qwen2vl ||= {}).keys ||= []);
  keys.unshift(
    { keys: ["Enter"], does: "Send the question" },
    { keys: ["Shift", "Enter"], does: "Begin a new line in it" },
    {
      keys: ["/"],
      does: "Go to the line for the question",
      matches: event => event.key === "/" && plain(event) && !typing(event),
      press: () => document.querySelector("#composer textarea")?.focus(),
    },
    {
      keys: ["Esc"],
      does: "Close the settings, or stop the answer",
      matches: event => event.key === "Escape" && plain(event),
      press: () => (seen(".sidebar#settings.open .toggle-button") || seen("#composer .stop-button"))?.click(),
    },
    {
      keys: ["?"],
      does: "Show this list",
      matches: event => event.key === "?" && plain(event) && !typing(event),
      press: () => show(),
    },
  );

  function element(tag, text = "") {
    const made = document.createElement(tag);
    made.textContent = text;
    return made;
  }

  function build() {
    dialog = document.createElement("dialog");
    dialog.id = "keys";
    dialog.className = "dialog";
    dialog.setAttribute("aria-labelledby", "keys-title");
    const title = element("h2", "Keys");
    title.id = "keys-title";
    const close = element("button", "Close");
    close.type = "button";
    close.addEventListener("click", () => dialog.close());
    dialog.append(title, element("dl"), close);
    dialog.addEventListener("click", event => event.target === dialog && dialog.close()); // beside it
    document.body.append(dialog);
  }

  function show() {
    if (!dialog?.isConnected) build();
    const rows = keys.flatMap(key => {
      const name = document.createElement("dt");
      key.keys.forEach((cap, i) => name.append(i ? " + " : "", element("kbd", cap)));
      return [name, element("dd", key.does)];
    });
    dialog.querySelector("dl").replaceChildren(...rows);
    dialog.showModal();
  }

  document.addEventListener("keydown", event => {
    // What is open in front of the page has keys of its own, and Escape closes it.
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    const key = keys.find(({ matches }) => matches?.(event));
    if (!key) return;
    event.preventDefault();
    key.press(event);
  });
})();
