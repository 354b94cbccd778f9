// The positions of one prompt under every variant, from the payload of viz/variants_payload.py: which token of a
// variant a token of the prompt is, where it stands, and by how much two are turned apart. Nothing is drawn here.
//
// A place is a token of a variant: {run, k, row, column}. Tokens, steps, rows and columns count from 0.
(() => {
  const variants = ((window.qwen2vl ||= {}).variants ||= {});
  const size = run => run.grid[0] * run.grid[1] * run.grid[2];

  // The payload with its tokens as a list.
  variants.read = payload => ({
    ...payload,
    tokens: payload.tokens.flatMap(p => (typeof p === "string" ? [p] : Array(p[1]).fill(p[0]))),
  });

  // The cell of a token of the prompt: {medium, k, row, column}; null for text.
  variants.cell = (prompt, token) => {
    const medium = prompt.media.findIndex(m => token >= m.start && token < m.start + size(m));
    if (medium < 0) return null;
    const { start, grid } = prompt.media[medium];
    const local = token - start;
    return {
      medium,
      k: Math.floor(local / (grid[1] * grid[2])),
      row: Math.floor(local / grid[2]) % grid[1],
      column: local % grid[2],
    };
  };

  // The index, among `to` cells, of the one that contains the middle of cell `at` of `from`.
  const scaled = (at, from, to) => (from === to ? at : Math.floor(((at + 0.5) * to) / from));

  // The place of a token of the prompt in a variant, whose grid may be another; null if it is not there.
  variants.place = (prompt, variant, token) => {
    const cell = variants.cell(prompt, token);
    for (const run of variant.runs) {
      if (!cell) {
        if (run.medium === null && run.token !== null && token >= run.token && token < run.token + size(run))
          return { run, k: 0, row: 0, column: token - run.token };
      } else if (run.medium === cell.medium && cell.k >= run.step && cell.k < run.step + run.grid[0]) {
        const [, rows, columns] = prompt.media[cell.medium].grid;
        return {
          run,
          k: cell.k - run.step,
          row: scaled(cell.row, rows, run.grid[1]),
          column: scaled(cell.column, columns, run.grid[2]),
        };
      }
    }
    return null;
  };

  // The inverse: the token of the prompt at a place; null for one that only the variant has.
  variants.tokenAt = (prompt, { run, k, row, column }) => {
    if (run.medium === null) return run.token === null ? null : run.token + column;
    const { start, grid } = prompt.media[run.medium];
    const [, rows, columns] = grid;
    const own = [scaled(row, run.grid[1], rows), scaled(column, run.grid[2], columns)];
    return start + ((run.step + k) * rows + own[0]) * columns + own[1];
  };

  // [t, h, w] of a place.
  variants.position = ({ run, k, row, column }) =>
    run.origins[k].map((origin, axis) => origin + row * run.down[axis] + column * run.right[axis]);

  // [lowest, highest] position on an axis over all pictures and clips of a variant; null without any.
  variants.range = (variant, axis) => {
    const ends = variant.runs
      .filter(run => run.medium !== null)
      .flatMap(run => {
        const across = (run.grid[1] - 1) * run.down[axis] + (run.grid[2] - 1) * run.right[axis];
        return run.origins.flatMap(origin => [origin[axis], origin[axis] + across]);
      });
    return ends.length
      ? ends.reduce(([low, high], at) => [Math.min(low, at), Math.max(high, at)], [ends[0], ends[0]])
      : null;
  };

  // Two tokens of the prompt in a variant: their positions {from, to}, the difference {apart: [t, h, w]}, {angles} in
  // radians for each pair, the mean {cosine} of these, and whether both are one token there, {same}.
  variants.compare = (prompt, variant, first, second) => {
    const places = [first, second].map(token => variants.place(prompt, variant, token));
    if (!places[0] || !places[1]) return null;
    const [from, to] = places.map(variants.position);
    const apart = to.map((at, axis) => at - from[axis]);
    const angles = variant.axes.map((axis, pair) => apart[Math.max(axis, 0)] * prompt.frequencies[pair]);
    const cosine = angles.reduce((sum, angle) => sum + Math.cos(angle), 0) / angles.length;
    const [a, b] = places;
    const same = a.run === b.run && a.k === b.k && a.row === b.row && a.column === b.column;
    return { from, to, apart, angles, cosine, same };
  };
})();
