// The arithmetic of the lesson, as pure functions of sizes: no drawing and no state. A test compares each with Python.
//
// Counts are those of the released Qwen2-VL checkpoints, whatever model runs here: at least 4 and at most 16,384 tokens
// for a picture, 128 to 768 for a pair of frames. What a picture becomes is `lens.geometry`'s to say.
(() => {
  const lens = window.qwen2vl.lens;
  const { FACTOR, PATCH } = lens.geometry;
  const lesson = (window.qwen2vl.lesson = { steps: [] });
  const sums = (lesson.sums = {});
  const TOKEN = FACTOR * FACTOR;

  sums.FEWEST = 4; // tokens of a picture, in the released checkpoints
  sums.MOST = 16384;
  sums.VISIBLE = 400; // tokens whose cells can still be told apart on the screen
  sums.READABLE = 24; // tokens whose cells have room for an address
  sums.SECTIONS = [16, 24, 24]; // pairs of numbers of a head that turn with t, h and w

  // The pieces of the chat template, and of the question that the lesson puts into it, as the tokenizer cuts them.
  sums.OPENING = [
    ...["<|im_start|>", "system", "\n", "You", " are", " a", " helpful", " assistant", ".", "<|im_end|>", "\n"],
    ...["<|im_start|>", "user", "\n"],
  ];
  sums.QUESTION = ["What", " is", " in", " this", " picture", "?"];
  sums.CLOSING = ["<|im_end|>", "\n", "<|im_start|>", "assistant", "\n"];

  // What a picture becomes within a budget of at most `most` tokens.
  sums.picture = (height, width, most = sums.MOST) => {
    const min = sums.FEWEST * TOKEN;
    const max = Math.max(sums.FEWEST, most) * TOKEN;
    return cut({ ...lens.geometry.smartResize(height, width, min, max), min, max });
  };

  // What a clip of `frames` sampled frames becomes: the same of each pair of frames, and how many pairs there are.
  sums.clip = (height, width, frames) => {
    const size = lens.geometry.frameSize(height, width, frames, sums.MOST, sums.FEWEST * TOKEN, sums.MOST * TOKEN);
    const pair = cut(size);
    const steps = Math.ceil(frames / 2);
    return { ...pair, steps, all: steps * pair.tokens };
  };

  function cut({ height, width, acted, min, max }) {
    const rows = height / FACTOR;
    const columns = width / FACTOR;
    return {
      ...{ height, width, acted, min, max, rows, columns },
      tokens: rows * columns,
      patchRows: height / PATCH,
      patchColumns: width / PATCH,
      patches: (height / PATCH) * (width / PATCH),
    };
  }

  // The budget that the lesson begins with: the released one, or a smaller one where cells would be too small to see.
  sums.startingBudget = (height, width) =>
    sums.picture(height, width).tokens <= sums.VISIBLE ? sums.MOST : sums.VISIBLE;

  // The row of tokens with a picture before word number `place` of the question: how many stand before the picture's
  // first token, in it, and behind it.
  sums.row = (tokens, place = 0) => {
    const before = sums.OPENING.length + place + 1;
    const after = 1 + (sums.QUESTION.length - place) + sums.CLOSING.length;
    return { before, tokens, after, all: before + tokens + after, share: tokens / (before + tokens + after) };
  };

  // Addresses of a grid of tokens whose first one is the token number `start` of the row, behind nothing but words.
  sums.addresses = (start, rows, columns, steps = 1) => {
    const tokens = steps * rows * columns;
    return {
      of: (row, column, t = 0) => [start + t, start + row, start + column],
      plain: (row, column, t = 0) => start + (t * rows + row) * columns + column,
      next: start + Math.max(steps, rows, columns), // of the word behind it
      plainNext: start + tokens,
    };
  };

  // Sums as they are written, line by line.
  const n = lens.number;
  const decimal = value => (Number.isInteger(value) ? n(value) : value.toFixed(2));
  sums.percent = share => `${Math.round(share * 100)} %`;
  sums.written = {
    pixels: (height, width) => [`${n(width)} x ${n(height)} x 3 = ${n(width * height * 3)}`],
    // How one side was rounded, or scaled and then rounded.
    side: (side, other, { acted, max, min }) => {
      if (acted === null) {
        const exact = side / FACTOR;
        const to = lens.geometry.roundHalfEven(exact);
        const rounded = exact === to ? "" : ` → ${n(to)}${exact % 1 === 0.5 ? ", a half goes to the even number" : ""}`;
        return [`${n(side)} / 28 = ${decimal(exact)}${rounded}`, `${n(to)} x 28 = ${n(to * FACTOR)}`];
      }
      const shrunk = acted === "max";
      const beta = Math.sqrt(shrunk ? (side * other) / max : min / (side * other));
      const scaled = shrunk ? side / beta / FACTOR : (side * beta) / FACTOR;
      const to = shrunk ? Math.max(1, Math.floor(scaled)) : Math.ceil(scaled);
      return [
        shrunk
          ? `√(${n(side)} x ${n(other)} / ${n(max)}) = ${beta.toFixed(3)}, how many times too long`
          : `√(${n(min)} / (${n(side)} x ${n(other)})) = ${beta.toFixed(3)}, how many times too short`,
        `${n(side)} ${shrunk ? "/" : "x"} ${beta.toFixed(3)} / 28 = ${decimal(scaled)}, ` +
          `rounded ${shrunk ? "down" : "up"} → ${n(to)}`,
        `${n(to)} x 28 = ${n(to * FACTOR)}`,
      ];
    },
    patches: p => [
      `${n(p.width)} / 14 = ${n(p.patchColumns)}, ${n(p.height)} / 14 = ${n(p.patchRows)}`,
      `${n(p.patchColumns)} x ${n(p.patchRows)} = ${n(p.patches)}`,
    ],
    tokens: p => [`${n(p.patches)} / 4 = ${n(p.tokens)} = ${n(p.columns)} x ${n(p.rows)}`],
    row: r => [
      `${n(r.before)} + ${n(r.tokens)} + ${n(r.after)} = ${n(r.all)}`,
      `${n(r.tokens)} / ${n(r.all)} = ${sums.percent(r.share)}`,
    ],
    next: (start, rows, columns) => {
      const { next, plainNext } = sums.addresses(start, rows, columns);
      return [
        `t, h, w     ${n(start)} + max(1, ${n(rows)}, ${n(columns)}) = ${n(next)}`,
        `one by one  ${n(start)} + ${n(columns)} x ${n(rows)} = ${n(plainNext)}`,
      ];
    },
    clip: (frames, c) => [
      `${n(frames)} / 2 = ${n(c.steps)}`,
      `${n(c.steps)} x ${n(c.columns)} x ${n(c.rows)} = ${n(c.all)}`,
    ],
  };
})();
