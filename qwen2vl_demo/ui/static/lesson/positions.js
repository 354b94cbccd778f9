// Step 8: the same question with the addresses taken away, asked of the model that runs here.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const { draw, sums } = lesson;
  const n = lens.number;
  const SCHEMES = [
    ["mrope", "t, h, w", "As trained"],
    ["silenced", "h and w silenced", "Without rows and columns"],
    ["1d", "one by one", "Numbered one by one"],
  ];
  const question = s => lesson.question ?? (s.question || "What is in this picture?");
  lesson.live = null; // what came of asking: {subject, question, trials, note, finished}
  lesson.question = null; // what was typed in place of the subject's own question

  // The address of a token under a scheme, as its three numbers.
  const address = (sums.under = (scheme, p, row, column) => {
    const { of, plain } = sums.addresses(p.start, p.rows, p.columns);
    const [t] = of(row, column);
    if (scheme === "silenced") return [t, t, t];
    if (scheme === "1d") return Array(3).fill(plain(row, column));
    return of(row, column);
  });

  const found = s => {
    const { live } = lesson;
    return live && live.subject === s.key && live.question === question(s) ? live : null;
  };
  const changed = live => live.trials.slice(1).filter(({ answer }) => answer.trim() !== live.trials[0].answer.trim());

  // The answers of the three trials so far.
  lesson.receive = live => {
    lesson.live = live;
    if (!lesson.state.open || lesson.steps[lesson.state.step].key !== "positions") return;
    lesson.redraw();
    if (live.finished || live.note) lesson.reword();
  };

  lesson.steps.push({
    key: "positions",
    title: "Take the addresses away",
    about: s => `${s.key} ${s.width}x${s.height} ${s.model.positions ? question(s) : ""}`,
    lead: s => [
      "What are the addresses good for? The same tokens are given to the model three times: as trained; with h and w " +
        "silenced, that is, set to t; and numbered one by one, as words are.",
      s.model.positions
        ? `Here ${s.model.name} itself is asked. It was not trained for the other two, which is part of what you see.`
        : `${s.model.name} cannot be asked with other positions, so you see what becomes of the addresses, and no ` +
          `answers. ${s.model.chosen ? "Choose" : "Start the page with"} a model that runs in it, such as nano, to ` +
          "see the answers too.",
    ],
    stage: (root, move, scene, redraw) => {
      let scheme = "mrope";
      const canvas = lens.el("canvas", { role: "img" });
      const choice = lens.segmented(
        "Positions",
        SCHEMES.map(([key, short]) => [key, short]),
        key => {
          scheme = key;
          choice.choose(key);
          redraw();
        },
      );
      choice.choose(scheme);
      const trials = lens.el("ol", { class: "lesson-trials" });
      const field = lens.el("input", {
        ...{ type: "text", maxlength: 300, "aria-label": "Question", class: "lesson-question" },
        oninput: event => {
          lesson.question = event.target.value;
        },
      });
      field.value = question(scene);
      const ask = lens.el("button", { type: "submit", class: "lens-quiet" }, "Ask three times");
      const form = lens.el("form", { class: "lesson-row", autocomplete: "off" }, field, ask);
      form.addEventListener("submit", event => {
        event.preventDefault();
        begin(lesson.scene());
      });
      root.append(lens.el("div", { class: "lesson-taken" }, canvas, scene.model.positions ? trials : null));
      root.classList.add("lesson-scrolls");
      move.append(choice, ...(scene.model.positions ? [form] : []));
      return s => {
        const p = lesson.smallGrid(s);
        const room = draw.room(root).height * (s.model.positions ? 0.58 : 1);
        const size = lesson.gridSize(p, room, root.clientWidth);
        lesson.addressGrid(canvas, s, p, size, (row, column) => lesson.inColours(address(scheme, p, row, column)), []);
        canvas.setAttribute("aria-label", `Addresses of ${p.columns} by ${p.rows} tokens: ${scheme}`);
        const live = found(s);
        lens.fill(
          trials,
          SCHEMES.map(([, , name], index) => {
            const trial = live?.trials[index];
            const differs = trial?.done && index > 0 && trial.answer.trim() !== live.trials[0].answer.trim();
            return lens.el(
              "li",
              { class: differs ? "differs" : "" },
              lens.el("b", {}, name),
              lens.el("p", {}, trial ? trial.answer || trial.status || "(no words)" : "not asked yet"),
            );
          }),
        );
      };
    },
    committed: s => s.model.positions && !found(s) && begin(s),
    guess: s => {
      if (!s.model.positions) {
        const p = lesson.smallGrid(s);
        return {
          ask: `With h and w silenced, how many different addresses do these ${n(p.tokens)} tokens have?`,
          unit: "address",
          truth: 1,
          mistakes: [[p.tokens, "h and w were what told them apart; only t is left, the same for all."]],
        };
      }
      const live = found(s);
      return {
        ask: `“${question(s)}” Will the answer be the same without addresses?`,
        choices: [
          ["same", "the same answer each time"],
          ["one", "another answer once"],
          ["both", "another answer both times"],
        ],
        truth: live?.finished ? ["same", "one", "both"][changed(live).length] : null,
        pending: live ? live.note || `${s.model.name} is being asked …` : "Now ask the model three times.",
      };
    },
    sum: s => {
      const p = lesson.smallGrid(s);
      const corner = key => address(key, p, p.rows - 1, p.columns - 1).join(",");
      return [
        `the token in row ${p.rows - 1}, column ${p.columns - 1}:`,
        `as trained  ${corner("mrope")}`,
        `silenced    ${corner("silenced")}`,
        `one by one  ${corner("1d")}`,
      ];
    },
    reveal: s => {
      const live = found(s);
      const jigsaw =
        "Without h and w the model still has every token, and whatever its eye wrote into each. It has lost where " +
        "they lie: a jigsaw in its box.";
      if (!live?.finished) return [jigsaw];
      const [rows, columns] = live.seen;
      return [
        jigsaw,
        `${s.model.name} sees this picture as ${columns} x ${rows} = ${lens.count(rows * columns, "token")}. ` +
          "Questions about what is there may survive; questions about where rarely do. Try others.",
      ];
    },
    takeaway: () => "The tokens say what is in the picture; the addresses say where. It takes both to answer.",
  });

  function begin(s) {
    const words = question(s).trim();
    if (!words) return;
    lesson.question = words;
    lesson.live = { subject: s.key, question: words, trials: [], note: "", finished: false };
    lesson.redraw();
    lesson.reword();
    lesson.ask?.({ subject: s.key, question: words });
  }
})();
