// The lesson: a full page in place of the chat and the panel, with one step at a time.
//
// A step is an object
//   {key, title,
//    lead(s): [sentence, ...],            what there is to see
//    stage(root, move, s, redraw): draw   builds its picture in `root` and the one thing to move in `move`; returns the
//                                         function that draws it for a scene
//    guess(s): {ask, truth, unit | choices, mistakes}
//    sum(s): [line, ...]                  behind the truth
//    reveal(s): [sentence or element, ...]
//    takeaway(s): sentence
//    about(s): string,                    what a guess depends on; by default the picture
//    needs(s): sentence,                  what is missing to take the step, or ""
//    committed(s)}                        a guess was made
// where `s` is a scene (`lesson.scene`). Everything but `stage` is arithmetic and words.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const { state } = lesson;
  const PATIENCE = 20_000; // ms until it is said that a file has not come
  const parts = {};
  let drawn = () => {};
  let due = false;
  let opener = null; // what had the focus before the lesson opened
  let reading = ""; // the name of a file that was chosen and is not here yet

  // Draws the stage once more in the next frame: an image was loaded, something was moved, the window has another size.
  lesson.redraw = () => {
    if (due || !state.open) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      const s = lesson.scene();
      if (state.open && s) drawn(s);
    });
  };

  lesson.mount = root => {
    if (root.dataset.mounted) return;
    root.dataset.mounted = "lesson";
    const button = (text, act, attributes = {}) =>
      lens.el("button", { type: "button", class: "lens-quiet", onclick: act, ...attributes }, text);
    parts.line = lens.el("ol", { class: "lesson-line" });
    lesson.steps.forEach((step, index) => {
      const number = lens.el("button", {
        ...{ type: "button", title: step.title, "aria-label": `Step ${index + 1}: ${step.title}` },
        onclick: () => lesson.go(index),
      });
      number.textContent = index + 1;
      parts.line.append(lens.el("li", {}, number));
    });
    parts.subject = lens.el("select", {
      "aria-label": "Picture of the lesson",
      onchange: event => lesson.choose(event.target.value),
    });
    parts.file = lens.el("input", {
      ...{ type: "file", class: "lesson-file", accept: "image/*,video/*,.pdf", tabindex: -1, "aria-hidden": "true" },
      onchange: event => attach(event.target),
    });
    parts.note = lens.el("span", { class: "lesson-note", role: "status" });
    parts.count = lens.el("p", { class: "lesson-count" });
    parts.title = lens.el("h2", { tabindex: -1, class: "lesson-title" });
    parts.lead = lens.el("div", { class: "lesson-lead" });
    parts.stage = lens.el("div", { class: "lesson-stage" });
    parts.move = lens.el("div", { class: "lesson-move" });
    parts.answer = lens.el("div", { class: "lesson-answer", tabindex: -1 });
    parts.back = button("Back", () => lesson.go(state.step - 1));
    parts.next = button("Next", () => lesson.go(state.step + 1), { class: "lens-strong" });
    const link = button("Copy link", () => window.qwen2vl.links.copy(lesson.address(), link), {
      title: "The address of this step with this picture",
    });
    const forClass = button("For a class", () => lesson.forClass(), { title: "Handouts, prepared chats and tasks" });
    root.append(
      lens.el(
        "div",
        { class: "lesson-head" },
        lens.el("nav", { "aria-label": "Steps of the lesson" }, parts.line),
        lens.el(
          "div",
          { class: "lesson-subject" },
          parts.note,
          parts.subject,
          parts.file,
          button("Your own …", () => parts.file.click(), { title: "A picture or a clip from this device" }),
          button("Close", () => lesson.close(), { title: "Back to the chat (Escape)" }),
        ),
      ),
      lens.el(
        "div",
        { class: "lesson-body" },
        lens.el("div", { class: "lesson-intro" }, parts.count, parts.title, parts.lead),
        lens.el("div", { class: "lesson-show" }, parts.stage, parts.move),
        parts.answer,
      ),
      lens.el("div", { class: "lesson-foot" }, parts.back, link, forClass, parts.next),
    );
    root.addEventListener("keydown", key);
    new ResizeObserver(() => lesson.redraw()).observe(parts.stage);
    lens.on("change", names => names.has("theme") && lesson.redraw());
    parts.root = root;
    lesson.recall();
    const linked = lesson.linked();
    if (!linked) return;
    if (linked.step !== null) state.step = linked.step;
    if (lesson.subjects.prepared.some(({ key }) => key === linked.example)) state.subject = linked.example;
    lesson.open();
  };

  lesson.open = () => {
    if (state.open || !parts.root) return;
    opener = document.activeElement;
    state.open = true;
    document.body.classList.add("learning");
    document.querySelector("#learn-button")?.setAttribute("aria-expanded", "true");
    scrollTo(0, 0);
    lesson.subjects.own = lesson.subjects.newest();
    lesson.refresh();
    parts.title.focus();
  };

  lesson.close = () => {
    if (!state.open) return;
    state.open = false;
    drawn = () => {};
    lens.fill(parts.stage);
    document.body.classList.remove("learning");
    const toggle = document.querySelector("#learn-button");
    toggle?.setAttribute("aria-expanded", "false");
    lesson.name();
    window.dispatchEvent(new Event("resize")); // what was hidden has a size again
    (opener?.isConnected && opener !== document.body ? opener : toggle)?.focus();
  };

  lesson.toggle = () => (state.open ? lesson.close() : lesson.open());

  lesson.go = index => {
    if (index === lesson.steps.length) return lesson.close();
    if (index < 0) return;
    state.step = index;
    lesson.refresh();
    parts.root.scrollTop = 0;
    if (parts.root.getBoundingClientRect().top < 0) parts.root.scrollIntoView();
    parts.title.focus({ preventScroll: true });
  };

  // Shows the step anew: another step, or another picture.
  lesson.refresh = () => {
    if (!state.open) return;
    const step = lesson.steps[state.step];
    const s = lesson.scene();
    lesson.name();
    lesson.keep();
    [...parts.line.querySelectorAll("button")].forEach((button, index) => {
      button.setAttribute("aria-current", index === state.step ? "step" : "false");
      button.classList.toggle("done", lesson.wasGuessed(lesson.steps[index]));
    });
    chooser(s);
    parts.count.textContent = `Step ${state.step + 1} of ${lesson.steps.length}`;
    parts.title.textContent = step.title;
    parts.back.disabled = state.step === 0;
    parts.next.textContent = state.step === lesson.steps.length - 1 ? "Finish" : "Next";
    lens.fill(parts.stage);
    lens.fill(parts.move);
    parts.stage.className = "lesson-stage";
    drawn = () => {};
    const missing = s ? step.needs?.(s) : "There is no picture here. Choose one of your own to begin.";
    if (missing) {
      lens.fill(parts.lead, lens.el("p", {}, missing));
      lens.fill(parts.answer);
      return;
    }
    words(step, s);
    drawn = step.stage(parts.stage, parts.move, s, lesson.redraw);
    drawn(s);
    answer(step, s);
  };

  // The words of a step, and its answer, once more: what they say depends on what was moved.
  lesson.reword = () => {
    const s = lesson.scene();
    words(lesson.steps[state.step], s);
    answer(lesson.steps[state.step], s);
    lesson.keep();
  };

  function words(step, s) {
    lens.fill(
      parts.lead,
      step.lead(s).map(sentence => (typeof sentence === "string" ? lens.el("p", {}, sentence) : sentence)),
    );
  }

  function answer(step, s) {
    const value = lesson.guessed(step, s);
    parts.answer.classList.toggle("revealed", value !== null);
    if (value !== null) {
      lens.fill(parts.answer, lesson.revealed(step, s, value));
      return;
    }
    const commit = given => {
      lesson.commit(step, lesson.scene(), given);
      answer(step, lesson.scene());
      parts.line.children[state.step].firstChild.classList.add("done");
      parts.answer.focus({ preventScroll: true });
      step.committed?.(lesson.scene());
    };
    lens.fill(parts.answer, lesson.guessForm(step.guess(s), commit));
  }

  function chooser(s) {
    const { own, prepared } = lesson.subjects;
    const option = (key, text) => {
      const made = lens.el("option", {}, text);
      made.value = key;
      return made;
    };
    lens.fill(
      parts.subject,
      own && option("own", `Yours: ${own.name}`),
      prepared.map(subject => option(subject.key, subject.label)),
    );
    parts.subject.value = s ? s.key : "";
  }

  // A file goes where every file goes, into the line below the chat, and comes back as the newest of the panel.
  function attach(field) {
    const target = document.querySelector("#composer input[type=file]");
    if (!field.files.length) return;
    if (!target) {
      parts.note.textContent = "Files cannot be taken now; wait until the answer has ended.";
      return;
    }
    const taken = new DataTransfer();
    taken.items.add(field.files[0]);
    reading = field.files[0].name;
    parts.note.textContent = `Reading ${reading} …`;
    const name = reading;
    setTimeout(() => {
      if (reading === name) parts.note.textContent = `${name} is not here yet. If it does not come, choose it again.`;
    }, PATIENCE);
    field.value = "";
    new MutationObserver((_, watching) => {
      // The line above the composer says what became of a file; where it became nothing, that is all that is told.
      const said = document.querySelector("#cost").textContent.trim();
      if (!reading || said) watching.disconnect();
      if (reading && said) parts.note.textContent = said;
    }).observe(document.querySelector("#cost"), { childList: true, characterData: true, subtree: true });
    target.files = taken.files;
    target.dispatchEvent(new Event("change", { bubbles: true }));
  }

  // The panel shows another prompt, whose newest picture is the learner's own one. One that was not sent yet was just
  // chosen, or dropped on the lesson: it is shown at once.
  lesson.arrived = () => {
    const before = lesson.subjects.own?.digest;
    const own = (lesson.subjects.own = lesson.subjects.newest());
    const changed = own?.digest !== before;
    if (!state.open) return;
    if (!changed) return;
    reading = parts.note.textContent = "";
    if (own && lens.state.data.draft) lesson.choose("own");
    else if (state.subject === "own" || state.subject === null) lesson.refresh();
    else chooser(lesson.scene());
  };

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const inside = event.target.closest("input, select, textarea, [role=application], [role=radiogroup]");
    if (event.key === "Enter" && (event.target === parts.title || event.target === parts.answer)) {
      event.preventDefault();
      const field = parts.answer.querySelector("input");
      if (event.target === parts.title && field) field.focus();
      else lesson.go(state.step + 1);
    }
    if (inside) return;
    if (event.key === "ArrowRight" && state.step < lesson.steps.length - 1) lesson.go(state.step + 1);
    else if (event.key === "ArrowLeft") lesson.go(state.step - 1);
    else return;
    event.preventDefault();
  }

  // What is open in front of the lesson is closed before it.
  const IN_FRONT = "dialog[open], .sidebar#settings.open";
  addEventListener(
    "keydown",
    event => {
      if (event.key !== "Escape" || !state.open || document.querySelector(IN_FRONT)) return;
      event.preventDefault();
      event.stopPropagation();
      lesson.close();
    },
    true,
  );
  (window.qwen2vl.keys ||= []).push(
    { keys: ["←"], does: "In the lesson: the step before" },
    { keys: ["→"], does: "In the lesson: the next step" },
  );
  // The invitation in the empty chat is a link.
  addEventListener(
    "click",
    event => {
      const link = event.target instanceof Element && event.target.closest('a[href$="#learn"]');
      if (!link) return;
      event.preventDefault();
      event.stopPropagation();
      lesson.open();
    },
    true,
  );
})();
