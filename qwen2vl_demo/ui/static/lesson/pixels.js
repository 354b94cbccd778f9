// Step 1: a picture is a table of numbers, of any size.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const { draw, sums } = lesson;
  const CELLS = 6; // pixels in a row of the magnifier

  lesson.steps.push({
    key: "pixels",
    title: "A picture is a table of numbers",
    lead: ({ width, height, clip }) => [
      "A screen draws a picture with small coloured squares, the pixels. Each pixel is three numbers from 0 to " +
        "255: how much red, how much green and how much blue.",
      `${clip ? "A frame of this clip" : "This picture"} is ${lens.number(width)} pixels wide and ` +
        `${lens.number(height)} high. It could have any size: a stamp and a poster are both welcome.`,
    ],
    stage: (root, move, scene, redraw) => {
      // The pixel in the middle of the magnifier.
      let at = [Math.floor(scene.height * 0.57), Math.floor(scene.width * 0.45)];
      const picture = lens.el("canvas");
      const close = lens.el("canvas", { role: "img" });
      const said = lens.el("p", { class: "lens-hint", role: "status" });
      root.append(lens.el("div", { class: "lesson-pair" }, picture, close));
      move.append(lens.el("p", {}, "Move over the picture with the pointer or the arrow keys."), said);
      draw.pointing(
        picture,
        "Magnifier over the picture; the arrow keys move it",
        () => [scene.height, scene.width],
        () => at,
        (row, column) => {
          at = [row, column];
          redraw();
        },
      );
      return s => {
        const stacked = root.clientWidth < 560;
        const roomWidth = stacked ? root.clientWidth : root.clientWidth * 0.6;
        const size = draw.fitted(s.height, s.width, draw.room(root).height * (stacked ? 0.5 : 1), roomWidth);
        const c = lens.sharp(picture, size.width, size.height);
        if (!draw.picture(c, s.still, 0, 0, size.width, size.height)) return;
        const [row, column] = at.map((value, axis) => {
          const most = [s.height, s.width][axis] - CELLS;
          return Math.max(0, Math.min(most, value - CELLS / 2));
        });
        const mark = Math.max(10, CELLS * size.scale);
        const x = (column + CELLS / 2) * size.scale - mark / 2;
        const y = (row + CELLS / 2) * size.scale - mark / 2;
        for (const [colour, line] of [
          ["#14161b", 4],
          ["#ffffff", 2],
        ]) {
          c.strokeStyle = colour;
          c.lineWidth = line;
          c.strokeRect(x, y, mark, mark);
        }
        const side = Math.min(
          stacked ? root.clientWidth * 0.72 : root.clientWidth - size.width - 24,
          stacked ? draw.room(root).height * 0.47 : draw.room(root).height - 4,
        );
        said.textContent = magnify(close, s, row, column, Math.max(120, side));
        close.setAttribute("aria-label", said.textContent);
      };
    },
    guess: ({ height, width, clip }) => ({
      ask: `How many numbers is ${clip ? "one frame" : "this picture"}, all in all?`,
      unit: "number",
      truth: height * width * 3,
      mistakes: [
        [height * width, "You counted the pixels; each of them is three numbers."],
        [height + width, "Rows times columns, not rows plus columns, is the number of pixels."],
      ],
    }),
    sum: ({ height, width }) => sums.written.pixels(height, width),
    reveal: ({ height, width }) => [
      `These are ${lens.count(height * width, "pixel")}, with three numbers each. Nothing else of the picture ` +
        "reaches the model: whatever it finds there, it finds in these numbers.",
    ],
    takeaway: () => "To a computer a picture of any size is a table of numbers, width x height x 3 of them.",
  });

  // Draws the pixels around (row, column) large, with their numbers; what the middle one is, in words.
  function magnify(canvas, s, row, column, side) {
    const image = lesson.subjects.image(s.still);
    const [x, y, w, h] = s.still.rect;
    const c = lens.sharp(canvas, side, side);
    const read = document.createElement("canvas");
    read.width = read.height = CELLS;
    const r = read.getContext("2d", { willReadFrequently: true });
    r.imageSmoothingEnabled = w !== s.width;
    const [kx, ky] = [w / s.width, h / s.height];
    r.drawImage(image, x + column * kx, y + row * ky, CELLS * kx, CELLS * ky, 0, 0, CELLS, CELLS);
    const values = r.getImageData(0, 0, CELLS, CELLS).data;
    const cell = side / CELLS;
    const font = Math.max(8, Math.min(15, cell / 4.2));
    c.font = `${font}px ${lens.colours().mono}`;
    c.textAlign = "center";
    c.textBaseline = "middle";
    for (let i = 0; i < CELLS * CELLS; i++) {
      const rgb = values.slice(4 * i, 4 * i + 3);
      const [cx, cy] = [(i % CELLS) * cell, Math.floor(i / CELLS) * cell];
      c.fillStyle = lens.css(rgb);
      c.fillRect(cx, cy, cell + 0.5, cell + 0.5);
      c.fillStyle = lens.inkOn(rgb);
      rgb.forEach((value, k) => c.fillText(value, cx + cell / 2, cy + cell / 2 + (k - 1) * font * 1.15));
    }
    draw.grid(c, 0, 0, side, side, CELLS, CELLS);
    const middle = 4 * ((CELLS / 2) * CELLS + CELLS / 2);
    const copy = w < s.width ? " The magnifier reads a smaller copy of your picture." : "";
    return (
      `Row ${row + CELLS / 2}, column ${column + CELLS / 2}: red ${values[middle]}, green ${values[middle + 1]}, ` +
      `blue ${values[middle + 2]}.${copy}`
    );
  }
})();
