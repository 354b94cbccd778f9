// For a class: handouts, prepared chats, and the eight tasks of docs/teaching.md, in a dialog.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const TASK = "/?"; // how the addresses of the page begin in docs/teaching.md
  let dialog = null;
  let parts = {};
  lesson.teaching = ""; // the teacher's page as HTML, from ui/lesson/teaching.py

  const here = parameters => `${location.pathname}?${new URLSearchParams(parameters)}`;

  function build() {
    const steps = lens.el(
      "select",
      { "aria-label": "Which steps" },
      [
        ["one", "the step that is open"],
        ["all", "all eight steps"],
      ].map(([value, text]) => {
        const option = lens.el("option", {}, text);
        option.value = value;
        return option;
      }),
    );
    const answers = lens.el("input", { type: "checkbox", id: "class-answers" });
    const said = lens.el("p", { class: "lens-hint", role: "status" });
    const save = lens.el("button", { type: "button", class: "lens-strong" }, "Save the handout");
    save.addEventListener("click", async () => {
      save.disabled = true;
      said.textContent = "Drawing it …";
      const all = steps.value === "all";
      const indices = all ? lesson.steps.map((_, index) => index) : [lesson.state.step];
      try {
        const page = await lesson.handout(indices, answers.checked);
        lens.save(page, "text/html", `handout${answers.checked ? "-answers" : ""}.html`);
        said.textContent = "Saved. Open the file and print it.";
      } catch {
        said.textContent = "This could not be drawn. Open the lesson with a picture and try again.";
      }
      save.disabled = false;
    });
    const tasks = lens.el("div", { class: "class-tasks" });
    tasks.innerHTML = lesson.teaching; // our own page, rendered from docs/teaching.md
    for (const code of tasks.querySelectorAll("code")) {
      if (!code.textContent.startsWith(TASK)) continue;
      const address = location.pathname + code.textContent.slice(TASK.length - 1);
      code.replaceWith(lens.el("a", { href: address }, code.textContent));
    }
    const { chats } = window.qwen2vl.links.targets();
    parts = { steps, said };
    dialog = lens.el(
      "dialog",
      { id: "class", class: "dialog lens", "aria-labelledby": "class-title" },
      lens.el(
        "div",
        { class: "class-head" },
        lens.el("h2", { id: "class-title" }, "For a class"),
        lens.el("button", { type: "button", class: "lens-quiet", onclick: () => dialog.close() }, "Close"),
      ),
      lens.el("h3", {}, "Handouts"),
      lens.el(
        "p",
        {},
        "The lesson on paper, with the picture and the budget that are on the screen. Each step has a page of its " +
          "own: later ones tell the answers of earlier ones, so hand them out one by one.",
      ),
      lens.el(
        "div",
        { class: "class-row" },
        steps,
        lens.el("label", { for: "class-answers" }, answers, " with the answers"),
        save,
      ),
      said,
      chats.length ? lens.el("h3", {}, "Chats to begin with") : null,
      chats.length
        ? lens.el("p", {}, "Each opens as a new chat with its answers, at once. The links can be given to the class.")
        : null,
      lens.el(
        "ul",
        {},
        chats.map(({ key, label }) => lens.el("li", {}, lens.el("a", { href: here({ chat: key }) }, label))),
      ),
      lens.el("h3", {}, "The tasks"),
      tasks,
    );
    dialog.addEventListener("click", event => event.target === dialog && dialog.close()); // beside it
    document.body.append(dialog);
  }

  lesson.forClass = () => {
    dialog?.remove();
    build();
    parts.steps.value = lesson.state.open ? "one" : "all";
    parts.steps.disabled = !lesson.state.open;
    parts.said.textContent = "";
    dialog.showModal();
    dialog.scrollTop = 0;
  };

  // The invitation in the empty chat is a link.
  addEventListener(
    "click",
    event => {
      const link = event.target instanceof Element && event.target.closest('a[href$="#class"]');
      if (!link) return;
      event.preventDefault();
      event.stopPropagation();
      lesson.forClass();
    },
    true,
  );
})();
