// Step 6: every token has an address, three numbers t, h and w; beside it, the same tokens numbered one by one.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const { draw, sums } = lesson;
  const n = lens.number;
  const LINE = 30; // px of the words before and behind a grid
  const CELL = { width: 66, height: 26 }; // px that an address needs

  // The grid that the step shows: with a small budget, so that each address can be read.
  const small = (lesson.smallGrid = s => {
    const p = sums.picture(s.height, s.width, Math.min(s.budget, sums.READABLE));
    return { ...p, start: sums.row(p.tokens, s.place).before };
  });

  // Draws a grid of addresses over a faint picture; `text(row, column)` gives the pieces [[string, colour], ...].
  lesson.addressGrid = (canvas, s, p, size, text, marked) => {
    const colours = lens.colours();
    const c = lens.sharp(canvas, size.width, size.height);
    c.clearRect(0, 0, size.width, size.height);
    draw.picture(c, s.still, 0, 0, size.width, size.height);
    c.globalAlpha = 0.85;
    c.fillStyle = colours.card;
    c.fillRect(0, 0, size.width, size.height);
    c.globalAlpha = 1;
    const w = size.width / p.columns;
    const h = size.height / p.rows;
    c.textBaseline = "middle";
    for (let row = 0; row < p.rows; row++) {
      for (let column = 0; column < p.columns; column++) {
        const pieces = text(row, column);
        const whole = pieces.map(([part]) => part).join("");
        const font = Math.min(15, h * 0.55, ((w - 4) / whole.length) * 1.62);
        c.font = `600 ${font}px ${colours.mono}`;
        let x = (column + 0.5) * w - c.measureText(whole).width / 2;
        for (const [part, colour] of pieces) {
          c.fillStyle = colour;
          c.fillText(part, x, (row + 0.5) * h);
          x += c.measureText(part).width;
        }
      }
    }
    c.strokeStyle = colours.line;
    c.lineWidth = 1;
    for (let i = 0; i <= p.columns; i++) c.strokeRect(i * w, 0, 0, size.height);
    for (let i = 0; i <= p.rows; i++) c.strokeRect(0, i * h, size.width, 0);
    marked.forEach(([row, column], index) => {
      if (row >= p.rows || column >= p.columns) return;
      c.strokeStyle = index ? colours.soft : colours.accent;
      c.lineWidth = index ? 2 : 3;
      c.setLineDash(index ? [4, 3] : []);
      c.strokeRect(column * w + 1.5, row * h + 1.5, w - 3, h - 3);
      c.setLineDash([]);
    });
  };
  lesson.inColours = ids => {
    const colours = lens.colours();
    return ids.flatMap((id, k) => [[`${id}`, colours[lens.AXES[k]]], ...(k < 2 ? [[",", colours.soft]] : [])]);
  };
  // Size of a grid in a room; never so small that an address cannot be read.
  lesson.gridSize = (p, roomHeight, roomWidth) => {
    const size = draw.fitted(p.height, p.width, roomHeight, roomWidth, 40, 0);
    return {
      width: Math.max(size.width, Math.min(roomWidth, p.columns * CELL.width)),
      height: Math.max(size.height, p.rows * CELL.height),
    };
  };

  lesson.steps.push({
    key: "addresses",
    title: "An address for every token",
    about: ({ key, height, width, budget, place }) =>
      `${key} ${width}x${height} ${Math.min(budget, sums.READABLE)} ${place}`,
    lead: s => {
      const { columns, rows, tokens } = small(s);
      return [
        "In a row, the square below is not next door: it stands a whole line of the picture further on. So " +
          "Qwen2-VL gives each token three numbers: the time t, the row h and the column w. This is called M-RoPE. " +
          "A word has the same number three times.",
        `Here the budget is ${sums.READABLE}, so that each address can be read: ${columns} x ${rows} = ${tokens} ` +
          "tokens.",
      ];
    },
    stage: (root, move, scene, redraw) => {
      let at = [0, 0];
      const figure = (title, label) => {
        const canvas = lens.el("canvas");
        draw.pointing(
          canvas,
          `${label}; the arrow keys choose a token`,
          () => {
            const p = small(lesson.scene());
            return [p.rows, p.columns];
          },
          () => at,
          (row, column) => {
            at = [row, column];
            redraw();
          },
        );
        const before = lens.el("p", { class: "lesson-words" });
        const after = lens.el("p", { class: "lesson-words" });
        return { root: lens.el("figure", {}, lens.el("h3", {}, title), before, canvas, after), canvas, before, after };
      };
      const mrope = figure("With addresses: t, h, w", "Grid of addresses");
      const plain = figure("Numbered one by one", "Grid of numbers");
      const said = lens.el("p", { class: "lens-hint", role: "status" });
      root.append(lens.el("div", { class: "lesson-pair lesson-grids" }, mrope.root, plain.root));
      root.classList.add("lesson-scrolls");
      move.append(lens.el("p", {}, "Point at a token: how far away are the one to its right and the one below?"), said);
      return s => {
        const p = small(s);
        const colours = lens.colours();
        const { of, plain: number, next, plainNext } = sums.addresses(p.start, p.rows, p.columns);
        at = [Math.min(at[0], p.rows - 1), Math.min(at[1], p.columns - 1)];
        const stacked = root.clientWidth < 560;
        const room = stacked ? root.clientWidth : (root.clientWidth - 24) / 2;
        const size = lesson.gridSize(p, draw.room(root).height / (stacked ? 2 : 1) - 2 * LINE - 34, room);
        const marked = [at, [at[0], at[1] + 1], [at[0] + 1, at[1]]];
        lesson.addressGrid(mrope.canvas, s, p, size, (row, column) => lesson.inColours(of(row, column)), marked);
        lesson.addressGrid(
          plain.canvas,
          s,
          p,
          size,
          (row, column) => [[`${number(row, column)}`, colours.ink]],
          marked,
        );
        // What the step asks stays open until it was guessed.
        const known = lesson.knows("addresses", s);
        const words = (piece, id, three) => [
          lens.el("span", { class: "lesson-chip lesson-mark" }, piece),
          lens.el("b", {}, id === null ? " ?" : three ? ` ${id},${id},${id}` : ` ${id}`),
        ];
        lens.fill(mrope.before, words("<|vision_start|>", p.start - 1, true));
        lens.fill(plain.before, words("<|vision_start|>", p.start - 1, false));
        lens.fill(mrope.after, words("<|vision_end|>", known ? next : null, true));
        lens.fill(plain.after, words("<|vision_end|>", known ? plainNext : null, false));
        const right = at[1] + 1 < p.columns ? "To the right: 1 in w; one by one, 1." : "";
        const below = at[0] + 1 < p.rows ? `Below: 1 in h; one by one, ${p.columns}.` : "";
        lens.write(
          said,
          `Row ${at[0]}, column ${at[1]} has t ${of(...at)[0]}, h ${of(...at)[1]}, w ${of(...at)[2]}. ${right} ` +
            `${below}`,
        );
      };
    },
    committed: () => lesson.redraw(),
    guess: s => {
      const { start, rows, columns, tokens } = small(s);
      const { next, plainNext } = sums.addresses(start, rows, columns);
      return {
        ask: `The picture begins at ${start}. At which number does the text go on behind it?`,
        unit: "",
        truth: next,
        mistakes: [
          [plainNext, `That counts the ${lens.count(tokens, "token")} one by one.`],
          [next - 1, "That is the largest number in the picture; the text takes the next one."],
          [start + 1, "It must not meet a number that the picture has."],
        ],
      };
    },
    sum: s => {
      const { start, rows, columns } = small(s);
      return sums.written.next(start, rows, columns);
    },
    reveal: s => {
      const p = sums.picture(s.height, s.width, s.budget);
      const { start } = small(s);
      const { next, plainNext } = sums.addresses(start, p.rows, p.columns);
      return [
        `With all ${n(p.tokens)} tokens the text would go on at ${n(next)}; counted one by one, at ${n(plainNext)}.`,
        `Often told wrongly: the three numbers are added up. They are not. A head compares tokens by 64 pairs of ` +
          `numbers, and they are shared out: ${sums.SECTIONS[0]} pairs turn with t, ${sums.SECTIONS[1]} with h, ` +
          `${sums.SECTIONS[2]} with w.`,
        bands(),
        `Nor is t 0 for a picture. It is the same for all its tokens, here ${n(start)}, since words stand before it.`,
      ];
    },
    takeaway: () =>
      "t, h and w say when and where a token is: neighbours in the picture are neighbours in numbers, and a large " +
      "picture does not push the words far away.",
  });

  // The 64 pairs of a head, in the colour of what turns them.
  function bands() {
    const label = `${sums.SECTIONS[0]} pairs for t, ${sums.SECTIONS[1]} for h, ${sums.SECTIONS[2]} for w`;
    return lens.el(
      "div",
      { class: "lesson-bands", role: "img", "aria-label": label },
      sums.SECTIONS.flatMap((count, axis) =>
        Array.from({ length: count }, (_, i) =>
          lens.el("i", { class: `lesson-${lens.AXES[axis]}` }, i === 0 ? lens.AXES[axis] : ""),
        ),
      ),
    );
  }
})();
