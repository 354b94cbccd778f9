// Step 7: a clip is pairs of frames, one grid for each pair, and t numbers them.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const { draw, sums } = lesson;
  const n = lens.number;
  const PAIRS = 6; // that are drawn side by side
  const START = sums.row(0).before; // number of the clip's first token, behind the usual words
  const of = ({ film }) => sums.clip(film.height, film.width, film.frames);

  lesson.steps.push({
    key: "clip",
    title: "A clip: frames in pairs",
    needs: s => (s.film ? "" : "There is no clip here. Drop one of your own to go on, or skip this step."),
    about: ({ film }) => `${film.name} ${film.width}x${film.height} ${film.frames}`,
    lead: s => {
      const c = of(s);
      const { film } = s;
      return [
        "A clip is many pictures, the frames. Usually two are taken from each second: " +
          `${n(film.frames)} of the ${lens.count(film.total, "frame")} of “${film.name}”. Two at a time are cut ` +
          "together, as one step of time: a patch reaches through both.",
        `Each step is a grid like that of a picture, here ${n(c.width)} x ${n(c.height)} pixels or ${n(c.columns)} x ` +
          `${n(c.rows)} tokens.`,
      ];
    },
    stage: (root, move, scene, redraw) => {
      let t = 0;
      const canvas = lens.el("canvas", { role: "img", class: "lesson-bare" });
      const run = lens.el("p", { class: "lesson-words lesson-run" });
      const steps = of(scene).steps;
      const slider = draw.slider("Time t", { min: 0, max: steps - 1, value: 0 }, value => {
        t = value;
        redraw();
      });
      root.append(canvas, run);
      move.append(slider.root);
      return s => {
        const c = of(s);
        const { film } = s;
        const width = root.clientWidth;
        const height = draw.room(root).height - 64;
        const context = lens.sharp(canvas, width, height);
        const first = Math.max(0, Math.min(c.steps - PAIRS, t - Math.floor(PAIRS / 2)));
        pairs(context, film, c, t, first, width, height * 0.27);
        const top = height * 0.27 + 14;
        const size = draw.fitted(c.height, c.width, height - top, width);
        const left = (width - size.width) / 2;
        if (draw.picture(context, film.source(2 * t), left, top, size.width, size.height, [c.height, c.width]))
          draw.grid(context, left, top, size.width, size.height, c.rows, c.columns);
        slider.say(`${START + t}, pair ${t + 1} of ${c.steps}`);
        canvas.setAttribute(
          "aria-label",
          `Frames ${2 * t} and ${2 * t + 1}, step ${t}, ${c.columns} by ${c.rows} tokens`,
        );
        const shown = Math.min(PAIRS, c.steps);
        const { next } = sums.addresses(START, c.rows, c.columns, c.steps);
        const mark = (piece, id) => [
          lens.el("span", { class: "lesson-chip lesson-mark" }, piece),
          lens.el("b", {}, ` ${id} `),
        ];
        lens.fill(
          run,
          mark("<|vision_start|>", START - 1),
          first > 0 ? "… " : null,
          Array.from({ length: shown }, (_, i) =>
            lens.el(
              "span",
              { class: `lesson-chip lesson-step ${first + i === t ? "here" : ""}` },
              `${n(c.tokens)} tokens, t ${START + first + i}`,
            ),
          ),
          first + shown < c.steps ? " … " : null,
          mark("<|vision_end|>", next),
        );
      };
    },
    guess: s => {
      const c = of(s);
      const { frames } = s.film;
      return {
        ask: `${n(frames)} frames, ${n(c.columns)} x ${n(c.rows)} tokens for each step. How many tokens is the clip?`,
        unit: "token",
        truth: c.all,
        mistakes: [
          [frames * c.tokens, "That counts every frame; two frames share their tokens."],
          [c.tokens, "That is one step."],
        ],
      };
    },
    sum: s => sums.written.clip(s.film.frames, of(s)),
    reveal: s => {
      const c = of(s);
      const limit = {
        min: " Here the budget enlarged the frames: a pair gets at least 128 tokens.",
        max: " Here the budget shrank the frames: a pair gets at most 768 tokens, and the whole clip at most 24,576.",
      }[c.acted];
      return [
        "Often drawn wrongly: each frame as a picture of its own. A clip is one run between one <|vision_start|> " +
          `and one <|vision_end|>. t goes from ${START} to ${START + c.steps - 1}, one more for each pair, however ` +
          "much time has passed between them.",
        `A still picture is a pair of equal frames, one step.${limit || ""}`,
      ];
    },
    takeaway: () => "Two frames make one step of time. A clip is one run of tokens, and t says which pair comes when.",
  });

  // The frames two by two, the chosen pair framed.
  function pairs(context, film, c, t, first, width, height) {
    const colours = lens.colours();
    const shown = Math.min(PAIRS, c.steps);
    const room = width / shown;
    const label = 20;
    const k = Math.min((height - label) / c.height, (room - 22) / 2 / c.width);
    const [w, h] = [c.width * k, c.height * k];
    context.font = `13px ${colours.mono}`;
    context.textAlign = "center";
    context.textBaseline = "top";
    for (let i = 0; i < shown; i++) {
      const left = i * room + (room - 2 * w - 4) / 2;
      for (const half of [0, 1]) {
        const frame = Math.min(film.frames - 1, 2 * (first + i) + half);
        draw.picture(context, film.source(frame), left + half * (w + 4), 3, w, h);
      }
      const here = first + i === t;
      context.strokeStyle = here ? colours.t : colours.line;
      context.lineWidth = here ? 3 : 1;
      context.strokeRect(left - 3, 1.5, 2 * w + 10, h + 4);
      context.fillStyle = colours.t;
      context.fillText(`t ${START + first + i}`, left + w + 2, h + 9);
    }
  }
})();
