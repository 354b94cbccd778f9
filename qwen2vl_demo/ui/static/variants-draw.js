// The two pictures of a variant: the prompt in miniature, its pictures coloured by one axis of their positions, and the
// frequency pairs of a head with the axis that turns each and the cosine of the angle between the two marked tokens.
(() => {
  const variants = ((window.qwen2vl ||= {}).variants ||= {});
  const DOT = 7; // px, of a token of text
  const GAP = 6;
  const MOST_DOTS = 40; // of a run of text; a longer one is shortened
  const MOST_STEPS = 6; // of a clip
  const SCALE = "viridis";
  const HALO = "rgba(10,10,14,.85)";
  const POINTER = "#ffd60a";

  Object.assign(variants, { SCALE, POINTER });
  variants.short = value => String(Number(value.toFixed(4)));

  // Which steps of a clip are drawn: all, or some of them evenly, and those of the marked tokens.
  function shownSteps(prompt, medium, tokens) {
    const count = prompt.media[medium].grid[0];
    if (count <= MOST_STEPS) return new Set(Array(count).keys());
    const even = Array.from({ length: MOST_STEPS }, (_, i) => Math.round((i * (count - 1)) / (MOST_STEPS - 1)));
    const marked = tokens.map(token => variants.cell(prompt, token)).filter(cell => cell?.medium === medium);
    return new Set([...even, ...marked.map(cell => cell.k)]);
  }

  // A list of shapes with their places on a canvas of a width, and its height: dots {run, column, x, y}, tiles {run, k,
  // x, y, w, h}, and words {text, x, y}.
  function arrange(prompt, variant, width, tokens) {
    const steps = prompt.media.map((_, medium) => shownSteps(prompt, medium, tokens));
    const tiles = steps.reduce((sum, shown) => sum + shown.size, 0);
    const tall = tiles === 1 ? 118 : tiles <= 3 ? 70 : 48;
    const shapes = [];
    let line = [];
    let [x, y, high] = [0, 2, 0];
    const endLine = () => {
      for (const shape of line) shape.y = y + high - shape.h;
      if (line.length) y += high + GAP;
      [line, x, high] = [[], 0, 0];
    };
    const put = (w, h, shape, gap = GAP) => {
      if (x + w > width && line.length) endLine();
      const made = { ...shape, x, w, h, y: 0 };
      line.push(made);
      shapes.push(made);
      x += w + gap;
      high = Math.max(high, h);
    };
    const dots = (run, from, to) => {
      for (let column = from; column < to; column++) put(DOT, DOT, { kind: "dot", run, k: 0, row: 0, column }, 1);
    };
    let last = -1; // the step that was drawn last
    variant.runs.forEach((run, index) => {
      if (run.medium === null) {
        const before = variant.runs[index + 1];
        const next = run.token === null ? before : null; // a time stamp is drawn with its step
        if (next && next.medium !== null && !steps[next.medium].has(next.step)) return;
        const count = run.grid[2];
        if (run.token !== null && count > 3) endLine();
        if (count > MOST_DOTS) {
          dots(run, 0, MOST_DOTS / 2);
          const text = `+${(count - MOST_DOTS).toLocaleString("en")}`;
          put(7 * text.length, 11, { kind: "word", text });
          dots(run, count - MOST_DOTS / 2, count);
        } else dots(run, 0, count);
        if (run.token !== null && count > 3) endLine();
        else x += GAP - 1;
        return;
      }
      const [, rows, columns] = prompt.media[run.medium].grid;
      const cell = Math.min(tall / rows, (width - 2) / columns);
      if (run.step === 0) last = -1;
      for (let k = 0; k < run.grid[0]; k++) {
        if (!steps[run.medium].has(run.step + k)) continue;
        if (run.step + k > last + 1) put(10, 11, { kind: "word", text: "…" });
        last = run.step + k;
        put(Math.max(3, columns * cell), Math.max(3, rows * cell), { kind: "tile", run, k });
      }
    });
    endLine();
    return { shapes, height: Math.max(12, y - GAP + 3) };
  }

  // The colours of one step's cells on a small canvas, one pixel a cell.
  const cells = (variants.cells = (run, k, axis, [low, high]) => {
    const [, rows, columns] = run.grid;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [columns, rows];
    const context = canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    const origin = run.origins[k][axis];
    for (let row = 0, i = 0; row < rows; row++)
      for (let column = 0; column < columns; column++, i += 4) {
        const at = origin + row * run.down[axis] + column * run.right[axis];
        image.data.set(window.qwen2vl.lens.scaled(SCALE, high > low ? (at - low) / (high - low) : 0.5), i);
        image.data[i + 3] = 255;
      }
    context.putImageData(image, 0, 0);
    return canvas;
  });

  // The numbers in the cells, where they fit.
  function numbers(c, tile, axis, [low, high], font) {
    const { lens } = window.qwen2vl;
    const { run, k } = tile;
    const [, rows, columns] = run.grid;
    const [w, h] = [tile.w / columns, tile.h / rows];
    if (Math.min(w, h) < 15) return;
    c.font = `10px ${font}`;
    c.textAlign = "center";
    c.textBaseline = "middle";
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        const at = variants.position({ run, k, row, column })[axis];
        const text = variants.short(at);
        if (c.measureText(text).width > w - 2) continue;
        c.fillStyle = lens.inkOn(lens.scaled(SCALE, high > low ? (at - low) / (high - low) : 0.5));
        c.fillText(text, tile.x + (column + 0.5) * w, tile.y + (row + 0.5) * h + 0.5);
      }
  }

  // The rectangle of a place, if it is drawn.
  function rectOf(shapes, place) {
    const shape = shapes.find(
      s => s.run === place.run && (s.kind === "tile" ? s.k === place.k : s.kind === "dot" && s.column === place.column),
    );
    if (!shape || shape.kind === "dot") return shape && [shape.x, shape.y, shape.w, shape.h];
    const [, rows, columns] = shape.run.grid;
    const [w, h] = [shape.w / columns, shape.h / rows];
    return [shape.x + place.column * w, shape.y + place.row * h, w, h];
  }

  variants.outline = (c, [x, y, w, h], colour, letter, font) => {
    const grown = Math.max(0, (7 - Math.min(w, h)) / 2); // a cell of a large picture is smaller than a pixel
    const box = [x - grown, y - grown, w + 2 * grown, h + 2 * grown];
    c.lineWidth = 4;
    c.strokeStyle = HALO;
    c.strokeRect(...box);
    c.lineWidth = 2;
    c.strokeStyle = colour;
    c.strokeRect(...box);
    if (!letter) return;
    c.font = `700 11px ${font}`;
    c.textAlign = "center";
    c.textBaseline = "middle";
    const [left, top] = [x + w / 2, y > 14 ? y - 8 : y + h + 8];
    c.lineWidth = 3;
    c.strokeStyle = HALO;
    c.strokeText(letter, left, top);
    c.fillStyle = "#fff";
    c.fillText(letter, left, top);
  };

  // The boxes of tokens A and B, either of which may be missing. If they are close, both letters stand at B.
  variants.outlineTwo = (c, [a, b], font) => {
    const close = a && b && Math.abs(a[0] - b[0]) < 11 && Math.abs(a[1] - b[1]) < 11;
    if (a) variants.outline(c, a, "#fff", close ? "" : "A", font);
    if (b) variants.outline(c, b, "#fff", close ? "A B" : "B", font);
  };

  // The prompt in miniature on a canvas: {paint(state), under(x, y)}. state: {width, axis, first,
  // second, at, place, variant}
  variants.miniature = (canvas, prompt, variant) => {
    let laid = { shapes: [], height: 0 };
    let base = null;
    let drawn = "";

    function paintBase(width, { axis, first, second }) {
      const { lens } = window.qwen2vl;
      const colours = lens.colours();
      laid = arrange(prompt, variant, width, [first, second]);
      base = document.createElement("canvas");
      const c = lens.sharp(base, width, laid.height);
      const range = variants.range(variant, axis);
      c.imageSmoothingEnabled = false;
      for (const shape of laid.shapes) {
        if (shape.kind === "dot") {
          c.beginPath();
          c.arc(shape.x + DOT / 2, shape.y + DOT / 2, shape.run.token === null ? 2 : 2.4, 0, 7);
          c.fillStyle = c.strokeStyle = colours.soft;
          c.lineWidth = 1;
          if (shape.run.token === null) c.stroke();
          else c.fill();
        } else if (shape.kind === "word") {
          c.fillStyle = colours.soft;
          c.font = `11px ${colours.font}`;
          c.textAlign = "left";
          c.textBaseline = "alphabetic";
          c.fillText(shape.text, shape.x, shape.y + shape.h - 2);
        } else {
          c.drawImage(cells(shape.run, shape.k, axis, range), shape.x, shape.y, shape.w, shape.h);
          numbers(c, shape, axis, range, colours.mono);
        }
      }
    }

    return {
      paint(state) {
        const { lens } = window.qwen2vl;
        const { width } = state;
        const colours = lens.colours();
        const steps = [state.first, state.second].map(token => variants.cell(prompt, token)?.k);
        const key = [width, state.axis, colours.soft, window.devicePixelRatio, ...steps].join();
        if (key !== drawn) paintBase(width, state);
        drawn = key;
        const c = lens.sharp(canvas, width, laid.height);
        c.clearRect(0, 0, width, laid.height);
        c.drawImage(base, 0, 0, width, laid.height);
        const rect = token => {
          const place = variants.place(prompt, variant, token);
          return place && rectOf(laid.shapes, place);
        };
        variants.outlineTwo(c, [rect(state.first), rect(state.second)], colours.font);
        const own = state.variant === variant && state.place;
        const pointed = own ? rectOf(laid.shapes, own) : state.at !== null && rect(state.at);
        if (pointed) variants.outline(c, pointed, POINTER);
      },
      // The place under a point, or null.
      under(x, y) {
        const shape = laid.shapes.find(
          s => s.kind !== "word" && x >= s.x && x < s.x + s.w && y >= s.y - 1 && y < s.y + s.h + 1,
        );
        if (!shape) return null;
        if (shape.kind === "dot") return { run: shape.run, k: 0, row: 0, column: shape.column };
        const [, rows, columns] = shape.run.grid;
        const cell = (at, from, whole, count) =>
          Math.max(0, Math.min(count - 1, Math.floor(((at - from) / whole) * count)));
        return {
          run: shape.run,
          k: shape.k,
          row: cell(y, shape.y, shape.h, rows),
          column: cell(x, shape.x, shape.w, columns),
        };
      },
    };
  };

  const BANDS = 13; // px, height of the row of axes
  const BARS = 34; // px, height of the cosines

  // The frequency pairs on a canvas: {paint(state, angles), under(x)}.
  variants.strip = (canvas, variant) => {
    let drawn = "";
    return {
      paint({ width, pair, first, second }, angles) {
        const { lens } = window.qwen2vl;
        const colours = lens.colours();
        const key = [width, pair, first, second, colours.soft, window.devicePixelRatio].join();
        if (key === drawn) return;
        drawn = key;
        const c = lens.sharp(canvas, width, BANDS + BARS + 6);
        const each = width / variant.axes.length;
        const middle = BANDS + 4 + BARS / 2;
        c.clearRect(0, 0, width, BANDS + BARS + 6);
        c.fillStyle = colours.line;
        c.fillRect(0, middle - 0.5, width, 1);
        variant.axes.forEach((axis, i) => {
          const [x, w] = [i * each + 0.5, Math.max(1, each - 1)];
          c.fillStyle = axis < 0 ? colours.soft : colours[lens.AXES[axis]];
          c.fillRect(x, 0, w, BANDS);
          if (!angles) return;
          const bar = (Math.cos(angles[i]) * BARS) / 2;
          c.fillRect(x, bar > 0 ? middle - bar : middle, w, Math.max(1, Math.abs(bar)));
        });
        if (pair === null) return;
        c.strokeStyle = colours.ink;
        c.lineWidth = 1.5;
        c.strokeRect(pair * each - 0.5, 0.75, each + 1, BANDS + BARS + 4);
      },
      under(x) {
        const count = variant.axes.length;
        return Math.max(0, Math.min(count - 1, Math.floor((x / canvas.clientWidth) * count)));
      },
    };
  };
})();
