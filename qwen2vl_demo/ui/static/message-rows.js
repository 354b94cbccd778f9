// The row under each message: its versions, what can be done with it, and what its answer took.
//
// Gradio draws the messages and draws them anew whenever it likes, so the rows are put back after each change of the
// chat. What they say comes from Python (chat/message_rows.py) as one object for each turn that is shown; what is
// pressed goes there as {do, turn}. Only the text for the clipboard is read from the chat that the browser keeps.
(() => {
  const LINES = {
    copy: "M5 5V2.5h8.5V11H11M2.5 5H11v8.5H2.5z",
    done: "M3 8.5l3.5 3.5L13 4.5",
    edit: "M3 13l.7-3L11 2.7l2.3 2.3L6 12.3zM9.5 4.2l2.3 2.3",
    retry: "M13 8a5 5 0 1 1-1.6-3.7M13.2 2v3h-3",
    statistics: "M3 13.5V9M8 13.5v-11M13 13.5V6",
    save: "M8 2.5v7M5 7l3 3 3-3M3 13.5h10",
    panel: "M2.5 3h11v10h-11zM8.5 3v10",
    before: "M10 3L5 8l5 5",
    next: "M6 3l5 5-5 5",
  };
  let rows = []; // one for each turn that is shown
  let kept = ""; // the chat, with its JSON in the first line
  let pressed = null; // the button that has the focus, by index of its message and name: it may be drawn anew
  const unfolded = new Set(); // numbers of the turns whose statistics are shown
  const drawn = new WeakMap(); // what a row was drawn from

  const composer = () => document.querySelector("#composer textarea");
  const busy = () => Boolean(document.querySelector("#composer .stop-button"));
  const act = (what, number) => window.qwen2vl.act?.({ do: what, turn: number });

  function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", LINES[name]);
    svg.append(path);
    return svg;
  }

  function button(name, label, hint, press) {
    const made = document.createElement("button");
    made.type = "button";
    made.dataset.name = name;
    made.title = hint;
    if (LINES[name]) {
      made.append(icon(name));
      made.setAttribute("aria-label", label);
    } else {
      made.textContent = label;
    }
    made.addEventListener("click", () => press(made));
    return made;
  }

  // An answer as it reads: without the tags of its boxes.
  function plain(text) {
    const [first, ...boxed] = text.split("<|box_start|>");
    const outside = boxed.map(piece => piece.split("<|box_end|>").slice(1).join(""));
    return [first, ...outside].join("").replace(/<\|object_ref_(start|end)\|>/g, "");
  }

  function textOf(number, question) {
    const turn = JSON.parse(kept.split("\n", 1)[0]).turns.find(one => one.number === number);
    return question ? turn.question : plain(turn.answer.text);
  }

  async function copy(made, number, question) {
    try {
      await window.qwen2vl.toClipboard(textOf(number, question));
    } catch {
      return; // the browser does not allow it
    }
    made.replaceChildren(icon("done"));
    made.setAttribute("aria-label", "Copied");
    setTimeout(() => {
      made.replaceChildren(icon("copy"));
      made.setAttribute("aria-label", "Copy");
    }, 1500);
  }

  // "< 2/3 >", where there is more than one.
  function versions(numbers, shown, what) {
    if (numbers.length < 2) return [];
    const group = document.createElement("span");
    group.className = "versions";
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", `Versions of the ${what}`);
    const step = (name, label, index) => {
      const made = button(name, label, label, () => act("show", numbers[index]));
      made.disabled = index < 0 || index >= numbers.length;
      return made;
    };
    const count = document.createElement("span");
    count.textContent = `${shown + 1}/${numbers.length}`;
    const before = step("before", `Version before of the ${what}`, shown - 1);
    group.append(before, count, step("next", `Next version of the ${what}`, shown + 1));
    return [group];
  }

  function offers(row, question) {
    const group = document.createElement("span");
    group.className = "offers";
    group.append(button("copy", "Copy", "Copy the text", made => copy(made, row.number, question)));
    if (question) {
      const hint = "Put this question with its files into the line below, to ask it in another way";
      group.append(button("edit", "Edit", hint, () => act("edit", row.number)));
    }
    if (!question && row.retry) {
      const hint =
        "Ask again, and keep this answer as a version: with a new seed and a temperature of at least 0.8, or with " +
        "the settings as they are if you have changed them";
      group.append(button("retry", "Retry", hint, () => act("retry", row.number)));
    }
    if (!question && row.marked) {
      const panel = "Show the picture in the panel, with its patches and tokens";
      group.append(
        button("save", "Save picture", "Save the picture with its boxes as a PNG file", () =>
          window.qwen2vl.savePicture?.(row.number),
        ),
        button("panel", "Show in panel", panel, () => showInPanel(row.marked)),
      );
    }
    if (!question && row.statistics) {
      const made = button("statistics", "Statistics", "What this answer took", () => {
        if (!unfolded.delete(row.number)) unfolded.add(row.number);
        draw();
      });
      made.setAttribute("aria-expanded", unfolded.has(row.number));
      group.append(made);
    }
    return group;
  }

  // The picture of an answer in the tab "Picture" of the panel: by its place in the prompt, or else by its name.
  function showInPanel({ place, name }) {
    const { lens } = window.qwen2vl;
    const tab = document.querySelector("#side [role=tab]"); // the first one
    tab?.click();
    lens?.actions.back?.();
    const media = lens?.state.data?.media || [];
    const at = media[place]?.name === name ? place : media.findLastIndex(medium => medium.name === name);
    if (at >= 0) lens.set({ medium: at, t: 0, at: null, held: false });
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    tab?.scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
    tab?.focus({ preventScroll: true });
  }

  function fill(under, row, question) {
    const line = document.createElement("div");
    line.className = "line";
    under.replaceChildren(line);
    if (!row) return;
    const shown = question
      ? versions(row.questions, row.question, "question")
      : versions(row.answers, row.answer, "answer");
    if (!question && !("ending" in row)) return line.append(...shown);
    line.append(...shown, offers(row, question));
    if (question) return;
    under.dataset.ending = row.ending;
    if (row.note) {
      const note = document.createElement("span");
      note.className = "note";
      note.textContent = row.note;
      line.append(note);
    }
    if (row.continue)
      line.append(
        button("continue", "Continue", "Let it go on where it was cut off", () => act("continue", row.number)),
      );
    if (!row.statistics) return;
    const statistics = document.createElement("p");
    statistics.className = "statistics";
    statistics.hidden = !unfolded.has(row.number);
    statistics.textContent = row.statistics;
    under.append(statistics);
  }

  function draw() {
    let index = -1;
    const messages = [...document.querySelectorAll("#chat .message-row > .flex-wrap")];
    for (const message of messages) {
      const question = message.parentElement.classList.contains("user-row");
      if (question) index += 1;
      const row = rows[index];
      const state = JSON.stringify([question, row, row && unfolded.has(row.number)]);
      let under = message.querySelector(":scope > .under");
      if (!under) {
        under = document.createElement("div");
        under.className = "under";
        message.append(under);
      }
      if (drawn.get(under) === state) continue;
      drawn.set(under, state);
      delete under.dataset.ending;
      fill(under, row, question);
    }
    messages.forEach((message, at) => message.parentElement.toggleAttribute("data-last", at === messages.length - 1));
    if (pressed && document.activeElement === document.body) {
      const under = messages[pressed.index]?.querySelector(":scope > .under");
      const again = under?.querySelector(`[data-name="${pressed.name}"]`);
      (again?.disabled ? under.querySelector(".versions button:enabled") : again)?.focus();
    }
  }

  function drawRows(json) {
    rows = JSON.parse(json);
    draw();
  }

  // Adler-32 of UTF-8, as zlib has it: by it Python knows whether the page has what it sent last.
  function checksum(json) {
    let [sum, sums] = [1, 0];
    for (const byte of new TextEncoder().encode(json)) {
      sum = (sum + byte) % 65521;
      sums = (sums + sum) % 65521;
    }
    return String(sums * 65536 + sum);
  }

  function copyFrom(chat) {
    kept = chat;
  }

  // The composer holds a question to be edited, or it no longer does.
  function edits(on) {
    const field = composer();
    if (!on || !field) return;
    field.focus();
    requestAnimationFrame(() => field.setSelectionRange(field.value.length, field.value.length));
  }

  document.addEventListener("focusin", event => {
    const under = event.target.closest?.("#chat .under");
    const name = event.target.dataset?.name;
    const messages = [...document.querySelectorAll("#chat .message-row > .flex-wrap")];
    pressed = under && name ? { index: messages.indexOf(under.parentElement), name } : null;
  });
  document.addEventListener("click", event => event.target.closest?.("#editing button") && act("leave", 0));
  document.addEventListener("keydown", event => {
    if (event.target !== composer() || event.isComposing || event.ctrlKey || event.metaKey || event.altKey || busy())
      return;
    if (event.key === "Escape" && document.querySelector("#editing button")) return act("leave", 0);
    const empty = !event.target.value && !document.querySelector("#composer .thumbnail-item");
    if (event.key !== "ArrowUp" || event.shiftKey || !empty || !rows.length) return;
    event.preventDefault();
    act("edit", rows.at(-1).number);
  });

  // The pictures of the chat, in its order, as chat/message_rows.py describes them. While a question is edited, those
  // from it on are not in the next prompt.
  function pictures() {
    const edited = Number(document.querySelector("#editing [data-question]")?.dataset.question || rows.length + 1);
    return rows.flatMap((row, at) => row.pictures.map(one => (at < edited - 1 ? one : { ...one, number: 0 })));
  }

  Object.assign((window.qwen2vl ||= {}), { drawRows, checksum, copyFrom, edits, pictures });
  (window.qwen2vl.keys ||= []).push({ keys: ["↑"], does: "In the empty line: edit the last question" });
  window.qwen2vl.onChatChange(draw);
})();
