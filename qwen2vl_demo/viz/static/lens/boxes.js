// The merged tokens under the boxes that are lit elsewhere on the page: a block of cells over the picture, and how many
// tokens these are.
(() => {
  const lens = window.qwen2vl.lens;
  const { FACTOR } = lens.geometry;
  const EDGE = 1e-3; // of a cell: an edge between two cells belongs to neither

  // The cells of a medium that a box covers, in part or as a whole; a point has the one it lies in. `sides` are left,
  // top, right and bottom as shares of the picture's sides. Row and column are the first ones, counted from 0.
  lens.covered = (medium, [left, top, right, bottom]) => {
    const [height, width] = medium.resized_size;
    const [, h, w] = medium.merged_grid;
    const span = (from, to, pixels, cells) => {
      const first = Math.max(0, Math.min(cells - 1, Math.floor((from * pixels) / FACTOR + EDGE)));
      const last = Math.max(first, Math.min(cells - 1, Math.ceil((to * pixels) / FACTOR - EDGE) - 1));
      return [first, last - first + 1];
    };
    const [row, rows] = span(top, bottom, height, h);
    const [column, columns] = span(left, right, width, w);
    return { row, rows, column, columns };
  };

  // lit: null, or {medium: its index, t: the step of a clip, name: what the boxes are called, boxes: [sides, ...],
  //                others: [sides, ...], where they would be if they were read in another way}
  lens.light = lit => {
    lens.state.lit = lit;
    if (lit) lens.set({ medium: lit.medium, t: lit.t });
    lens.redraw("lit");
  };

  const range = (noun, first, count) =>
    count === 1 ? `${noun} ${first}` : `${noun}s ${first} to ${first + count - 1}`;

  function sentence(medium, { name, boxes }) {
    const [, h, w] = medium.merged_grid;
    const cells = new Set();
    const blocks = boxes.map(sides => lens.covered(medium, sides));
    for (const { row, rows, column, columns } of blocks)
      for (let y = row; y < row + rows; y++) for (let x = column; x < column + columns; x++) cells.add(y * w + x);
    const [only] = blocks;
    const where =
      blocks.length > 1
        ? lens.count(blocks.length, "box").replace("boxs", "boxes")
        : `${range("row", only.row, only.rows)}, ${range("column", only.column, only.columns)}`;
    return `${name}: ${where}, ${lens.number(cells.size)} of ${lens.count(h * w, "token")}`;
  }

  // Lies over a canvas that shows the picture as the model gets it, while `fits` says so; both stand in the same
  // positioned element.
  lens.litCells = (canvas, fits = () => true) => {
    const says = lens.el("p", { class: "lens-lit-says" });
    const root = lens.el("div", { class: "lens-lit", hidden: "" });

    function draw() {
      const { lit, medium: index, t } = lens.state;
      const medium = lens.medium();
      const here = Boolean(lit && medium && lit.medium === index && (medium.kind !== "video" || lit.t === t));
      root.hidden = !here || !fits() || !canvas.offsetParent;
      if (root.hidden) return;
      for (const [side, value] of [
        ["left", canvas.offsetLeft],
        ["top", canvas.offsetTop],
        ["width", canvas.offsetWidth],
        ["height", canvas.offsetHeight],
      ])
        root.style[side] = `${value}px`;
      const [, h, w] = medium.merged_grid;
      const drawn = [...lit.others.map(sides => [sides, "lens-lit-other"]), ...lit.boxes.map(sides => [sides, ""])];
      const blocks = drawn.map(([sides, kind]) => {
        const { row, rows, column, columns } = lens.covered(medium, sides);
        const block = lens.el("i", { class: kind });
        Object.assign(block.style, {
          left: `${(100 * column) / w}%`,
          top: `${(100 * row) / h}%`,
          width: `${(100 * columns) / w}%`,
          height: `${(100 * rows) / h}%`,
          backgroundSize: `${100 / columns}% ${100 / rows}%`,
        });
        return block;
      });
      says.textContent = sentence(medium, lit);
      const middle = lit.boxes.reduce((sum, sides) => sum + sides[1] + sides[3], 0) / (2 * lit.boxes.length);
      says.classList.toggle("lens-lit-above", middle > 0.5);
      root.replaceChildren(...blocks, says);
    }
    lens.on("change", names => {
      if (names.size > 1 || !names.has("at")) draw();
    });
    new ResizeObserver(draw).observe(canvas); // it may be shown only after this was drawn
    root.draw = draw;
    return root;
  };
})();
