// Step 3: the picture is cut into patches of 14 x 14 pixels.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const { draw, sums } = lesson;
  const { PATCH } = lens.geometry;
  const n = lens.number;
  // The resized picture at another size, within the released budget.
  const scaled = (s, percent) => {
    const { height, width } = sums.picture(s.height, s.width, s.budget);
    const at = side => Math.max(1, Math.round((side * percent) / 100));
    return sums.picture(at(height), at(width));
  };

  lesson.steps.push({
    key: "patches",
    title: "It is cut into patches of 14 x 14",
    about: ({ key, height, width, budget }) => `${key} ${width}x${height} ${budget}`,
    lead: s => {
      const p = sums.picture(s.height, s.width, s.budget);
      return [
        `The picture now has ${n(p.width)} x ${n(p.height)} pixels. It is cut into patches of ${PATCH} x ${PATCH}.`,
        "A patch is the smallest piece that the model looks at. Its eye, a vision transformer, reads all patches " +
          "at once and compares each with every other: an ear with the head it belongs to, a letter with its word.",
      ];
    },
    stage: (root, move, scene, redraw) => {
      let percent = 100;
      const canvas = lens.el("canvas", { role: "img" });
      const slider = draw.slider("Size of the picture", { min: 25, max: 200, step: 5, value: percent }, value => {
        percent = value;
        redraw();
      });
      root.append(canvas);
      move.append(slider.root);
      return s => {
        const p = scaled(s, percent);
        const size = draw.fitted(p.height, p.width, draw.room(root).height, root.clientWidth);
        const c = lens.sharp(canvas, size.width, size.height);
        draw.picture(c, s.still, 0, 0, size.width, size.height, [p.height, p.width]);
        const fine = size.width / p.patchColumns >= 3.5;
        if (fine) draw.grid(c, 0, 0, size.width, size.height, p.patchRows, p.patchColumns, 2);
        // Before the count is guessed, the slider tells sizes only.
        const known = lesson.knows("patches", s);
        slider.say(
          `${percent} %: ${n(p.width)} x ${n(p.height)} pixels${known ? `, ${lens.count(p.patches, "patch")}` : ""}` +
            `${fine ? "" : "; too many lines to draw"}`,
        );
        canvas.setAttribute("aria-label", `The picture cut into patches, ${p.patchColumns} by ${p.patchRows}`);
      };
    },
    committed: () => lesson.redraw(),
    guess: s => {
      const p = sums.picture(s.height, s.width, s.budget);
      return {
        ask: `Count first: how many patches are ${n(p.width)} x ${n(p.height)} pixels?`,
        unit: "patch",
        truth: p.patches,
        mistakes: [
          [p.tokens, "That is the number of squares of 28 x 28; each holds four patches."],
          [p.patchRows + p.patchColumns, "Multiply rows and columns, do not add them."],
        ],
      };
    },
    sum: s => sums.written.patches(sums.picture(s.height, s.width, s.budget)),
    reveal: s => {
      const p = sums.picture(s.height, s.width, s.budget);
      const large = scaled(s, 200);
      const times = large.patches / p.patches;
      const about = times === 4 ? "four times as many" : `only ${times.toFixed(2)} times as many: its budget is full`;
      return [
        `Drag the size. Twice as wide and twice as high, it would be ${lens.count(large.patches, "patch")}, ` +
          `${about}.`,
        "A patch is 14 x 14 x 3 = 588 numbers. The model reads frames in pairs, as the seventh step shows, and a " +
          "still picture is given to it twice; hence 1,176 numbers for each patch.",
      ];
    },
    takeaway: () => "A patch always has the same size. A picture with more pixels becomes more patches.",
  });
})();
