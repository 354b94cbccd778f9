// Step 2: both sides become multiples of 28, within a budget.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const { draw, sums } = lesson;
  const { FACTOR } = lens.geometry;
  const STEPS = 100; // of the slider
  const n = lens.number;

  // The slider is logarithmic: each step makes the budget larger by the same factor.
  const toSlider = budget => Math.round((STEPS * Math.log(budget / sums.FEWEST)) / Math.log(sums.MOST / sums.FEWEST));
  const fromSlider = value => Math.round(sums.FEWEST * (sums.MOST / sums.FEWEST) ** (value / STEPS));

  function change(s, p) {
    if (p.height === s.height && p.width === s.width)
      return "Both sides are multiples of 28 already, so not a pixel changes.";
    const percent = 100 * ((p.width / p.height) * (s.height / s.width) - 1);
    const shape =
      Math.abs(percent) < 0.05
        ? "Its shape stays the same."
        : `Its shape becomes ${Math.abs(percent).toFixed(1)} % ${percent > 0 ? "wider" : "narrower"}.`;
    const why = {
      max: `Rounded, it would have more than ${n(sums.MOST)} squares: it is shrunk, and rounded down, until it fits. `,
      min: `Rounded, it would have fewer than ${sums.FEWEST} squares: it is enlarged, and rounded up. `,
    }[p.acted];
    return (
      `${why || ""}${n(s.width)} x ${n(s.height)} pixels become ${n(p.width)} x ${n(p.height)}, which is ` +
      `${n(p.columns)} x ${n(p.rows)} squares. ${shape}`
    );
  }

  lesson.steps.push({
    key: "resize",
    title: "It is made to fit squares of 28",
    lead: () => [
      "Soon the picture will be cut into squares of 28 x 28 pixels. So that nothing is left over, each side is first " +
        "rounded to the nearest multiple of 28. Nothing is cropped off, and no border is added.",
      `There is a budget too. The released Qwen2-VL takes ${sums.FEWEST} to ${n(sums.MOST)} squares from a ` +
        "picture. One with more is shrunk until it fits, and one with fewer is enlarged.",
    ],
    stage: (root, move, scene, redraw) => {
      const canvas = lens.el("canvas", { role: "img" });
      const slider = draw.slider("Budget", { min: 0, max: STEPS, value: toSlider(scene.budget) }, value => {
        lesson.state.budget = fromSlider(value);
        lesson.keep();
        redraw();
      });
      const said = lens.el("p", { class: "lens-hint", role: "status" });
      root.append(canvas);
      move.append(slider.root, said);
      return s => {
        const p = sums.picture(s.height, s.width, s.budget);
        const size = draw.fitted(s.height, s.width, draw.room(root).height, root.clientWidth);
        const c = lens.sharp(canvas, size.width, size.height);
        draw.picture(c, s.still, 0, 0, size.width, size.height, [p.height, p.width]);
        if (size.width / p.columns >= 5) draw.grid(c, 0, 0, size.width, size.height, p.rows, p.columns);
        slider.say(`at most ${lens.count(s.budget, "square")}`);
        said.textContent =
          `${n(s.width)} x ${n(s.height)} → ${n(p.width)} x ${n(p.height)} pixels = ${n(p.columns)} x ${n(p.rows)} = ` +
          `${lens.count(p.tokens, "square")}`;
        canvas.setAttribute("aria-label", `The picture with the detail that is left: ${said.textContent}`);
      };
    },
    guess: s => {
      const p = sums.picture(s.height, s.width);
      const nearest = "The nearest multiple of 28 is taken, be it above or below.";
      return {
        ask: `${s.clip ? "A frame of it" : "This picture"} is ${n(s.width)} pixels wide. How wide will it be?`,
        unit: "pixel",
        truth: p.width,
        mistakes: [
          [s.width, "It keeps its width only if that is a multiple of 28, and within the budget."],
          [p.columns, "That is the number of squares in a row."],
          ...(p.acted ? [] : [[Math.floor(s.width / FACTOR) * FACTOR, nearest]]),
          ...(p.acted ? [] : [[Math.ceil(s.width / FACTOR) * FACTOR, nearest]]),
        ],
      };
    },
    sum: s => sums.written.side(s.width, s.height, sums.picture(s.height, s.width)),
    reveal: s => {
      const p = sums.picture(s.height, s.width);
      const smaller =
        p.tokens > sums.VISIBLE
          ? `${lens.count(p.tokens, "square")} are too small to see here, so the lesson goes on with a budget of ` +
            `${sums.VISIBLE}. Drag it to choose another.`
          : "Now drag the budget down: with fewer squares, less detail is left.";
      return [change(s, p), smaller];
    },
    takeaway: () =>
      "Qwen2-VL keeps the size and shape that a picture has, to the nearest 28 pixels, as long as the budget allows.",
  });
})();
