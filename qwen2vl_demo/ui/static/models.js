// The menu of models, behind the model's name in the header. The server says what there is (ui/models.py) and loads
// what is chosen; the choice is this tab's, and survives its reload.
(() => {
  const TAB = "qwen2vl.model"; // in sessionStorage: the key of the model of this tab; "" for the first one
  let state = null;
  let rows = []; // what there was to choose from when the menu was opened last
  let memory = "";
  let dialog = null;

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

  function recall() {
    try {
      return sessionStorage.getItem(TAB) || "";
    } catch {
      return "";
    }
  }

  function note(key) {
    try {
      sessionStorage.setItem(TAB, key);
    } catch {}
  }

  function bar(loading) {
    const made = element("progress", { max: 1, "aria-label": loading.says });
    if (loading.share !== null) made.value = loading.share;
    return made;
  }

  const percent = loading =>
    loading.share === null ? `${loading.says}…` : `${loading.says}, ${Math.round(100 * loading.share)} %`;

  function row(model) {
    const loading = state.loading?.key === model.key && state.loading;
    const mine = model.key === state.yours;
    const facts = [mine && "answers in this tab", !mine && model.loaded && model.key && "loaded", model.facts];
    const words = loading ? percent(loading) : model.problem || facts.filter(Boolean).join(" · ");
    const made = element(
      "button",
      { type: "button", disabled: Boolean(model.problem), onclick: () => choose(model.key) },
      element("b", { textContent: model.name }),
      element("span", { textContent: words }),
      loading && bar(loading),
    );
    made.dataset.key = model.key;
    if (mine) made.setAttribute("aria-current", "true");
    return element("li", {}, made);
  }

  function choose(key) {
    if (state.loading || key === state.yours) return;
    window.qwen2vl.askModels(key);
  }

  // The list as it is now; what has the focus keeps it.
  function draw() {
    if (!dialog?.open || !state) return;
    const focused = document.activeElement?.closest("#models li button")?.dataset.key;
    const list = dialog.querySelector("ul");
    list.replaceChildren(...rows.map(row));
    list.setAttribute("aria-busy", Boolean(state.loading));
    if (focused !== undefined) [...list.querySelectorAll("button")].find(b => b.dataset.key === focused)?.focus();
    dialog.querySelector(".memory").textContent = memory;
    const said = dialog.querySelector(".said");
    if (said.textContent !== state.note) said.textContent = state.note;
  }

  // The button says what happens while the menu is closed.
  function drawButton() {
    const button = document.querySelector("#model-button");
    if (!button) return;
    const { loading } = state;
    button.classList.toggle("loading", Boolean(loading));
    if (!button.querySelector(".told")) button.prepend(element("span", { className: "told" }));
    const told = button.querySelector(".told");
    const name = loading && rows.find(model => model.key === loading.key)?.name;
    const words = loading ? `${name || loading.key}: ${percent(loading)}` : "";
    if (told.textContent !== words) told.textContent = words;
  }

  function show(text) {
    const before = state;
    state = JSON.parse(text);
    if (state.rows) ({ rows, memory } = state);
    note(state.yours);
    drawButton();
    draw();
    const arrived = before?.loading && !state.loading;
    if (arrived && !state.note && dialog?.open) dialog.close();
    if (state.note && !dialog?.open) window.qwen2vl.chats.say(state.note);
  }

  function build() {
    dialog = element(
      "dialog",
      { id: "models", className: "dialog", "aria-labelledby": "models-title" },
      element(
        "header",
        {},
        element("h2", { id: "models-title", textContent: "Model" }),
        element("button", { type: "button", textContent: "Close", className: "close", onclick: () => dialog.close() }),
      ),
      element("p", {
        className: "why",
        textContent:
          "Your choice is for this tab. The chat goes on, and each answer stays with the model that wrote it.",
      }),
      element("ul", { "aria-label": "Models" }),
      element("p", { className: "said", role: "status" }),
      element("p", { className: "memory" }),
    );
    dialog.addEventListener("click", event => event.target === dialog && dialog.close());
    dialog.addEventListener("keydown", event => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const all = [...dialog.querySelectorAll("li button:not(:disabled)")];
      if (!step || !all.length) return;
      event.preventDefault();
      all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
    });
    document.body.append(dialog);
  }

  function open() {
    if (!state) return;
    if (!dialog?.isConnected) build();
    state.note = "";
    dialog.showModal();
    draw();
    window.qwen2vl.askModels(null);
  }

  document.addEventListener("click", event => event.target.closest?.("#model-button") && open());
  const models = { show, recall, defaults: () => state?.defaults || {} };
  Object.assign((window.qwen2vl ||= {}), { models });
})();
