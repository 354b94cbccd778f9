// Step 5: the tokens of the picture stand in one row with those of the words.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const { draw, sums } = lesson;
  const n = lens.number;
  const DRAWN = 400; // tokens of the picture that are drawn one by one
  const SIDES = [16, 30]; // px of each, at least and at most
  const SHARES = [
    [0.5, "half", "less than half"],
    [0.9, "most", "half to nine tenths"],
    [2, "nearly", "more than nine tenths"],
  ];
  const rowOf = s => sums.row(sums.picture(s.height, s.width, s.budget).tokens, s.place);

  lesson.steps.push({
    key: "row",
    title: "One row, with the words",
    about: ({ key, height, width, budget }) => `${key} ${width}x${height} ${budget}`,
    lead: () => [
      "A language model reads one row of tokens, from the first to the last. Words are cut into tokens too, mostly " +
        "one for each. The marks between <| and |> say who speaks, and where a picture begins and ends.",
      "The tokens of the picture stand in this row wherever you put the picture.",
    ],
    stage: (root, move, scene) => {
      const row = lens.el("div", { class: "lesson-tokens", role: "img" });
      const slider = draw.slider(
        "Place of the picture",
        { min: 0, max: sums.QUESTION.length, value: scene.place },
        place => {
          lesson.state.place = place;
          lesson.redraw();
          lesson.reword();
        },
      );
      root.append(row);
      root.classList.add("lesson-scrolls");
      move.append(slider.root);
      return s => {
        const words = sums.QUESTION;
        const p = sums.picture(s.height, s.width, s.budget);
        const { width, height } = draw.room(root);
        const room = 0.5 * width * height; // for the picture's tokens and the gaps between them
        const side = Math.floor(Math.sqrt(room / Math.min(p.tokens, DRAWN))) - 3;
        const fitting = Math.max(SIDES[0], Math.min(SIDES[1], side));
        const sheet = [Math.min(2048, p.columns * fitting), Math.min(2048, p.rows * fitting)];
        draw.sheet(row, s.still, ...sheet);
        lens.fill(
          row,
          sums.OPENING.map(chip),
          words.slice(0, s.place).map(word => chip(word, "lesson-asked")),
          chip("<|vision_start|>"),
          cells(p, fitting),
          chip("<|vision_end|>"),
          words.slice(s.place).map(word => chip(word, "lesson-asked")),
          sums.CLOSING.map(chip),
        );
        const where = s.place === 0 ? "before the question" : s.place === words.length ? "after it" : "";
        slider.say(where || `behind “${words.slice(0, s.place).join("")}”`);
        row.setAttribute(
          "aria-label",
          `${rowOf(s).before} tokens, ${p.tokens} of the picture, ${rowOf(s).after} tokens`,
        );
      };
    },
    guess: s => {
      const { share } = rowOf(s);
      return {
        ask: "How much of this row is the picture?",
        choices: SHARES.map(([, key, text]) => [key, text]),
        truth: SHARES.find(([below]) => share < below)[1],
      };
    },
    sum: s => sums.written.row(rowOf(s)),
    reveal: s => {
      const r = rowOf(s);
      return [
        `${n(r.before)} tokens stand before the picture's, and ${n(r.after)} behind them. In the language model each ` +
          "token of a picture costs as much time and memory as a token of a word. That is what the budget is for.",
        "These are your picture's own tokens, cut by the same rules as in the chat; the system prompt at the " +
          "beginning is added to every chat.",
      ];
    },
    takeaway: () => "To the language model a picture is a run of tokens, in the same row as the words.",
  });

  function chip(piece, more = "") {
    const mark = /^<\|.*\|>$/.test(piece);
    return lens.el("span", { class: `lesson-chip ${mark ? "lesson-mark" : ""} ${more}` }, lens.visible(piece));
  }

  // The tokens of the picture, each showing its square; of very many the first and the last ones.
  function cells(p, side) {
    const cell = index => {
      const made = lens.el("i", { class: "lesson-cell" });
      Object.assign(made.style, {
        width: `${side}px`,
        height: `${side}px`,
        backgroundSize: `${p.columns * side}px ${p.rows * side}px`,
        backgroundPosition: `${-(index % p.columns) * side}px ${-Math.floor(index / p.columns) * side}px`,
      });
      return made;
    };
    const range = (from, to) => Array.from({ length: to - from }, (_, i) => cell(from + i));
    if (p.tokens <= DRAWN) return range(0, p.tokens);
    return [
      range(0, DRAWN / 2),
      chip(`${n(p.tokens - DRAWN)} more of the picture`, "lesson-more"),
      range(p.tokens - DRAWN / 2, p.tokens),
    ].flat();
  }
})();
