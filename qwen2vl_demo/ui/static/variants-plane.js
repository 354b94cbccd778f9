// A variant's positions in the plane of w (to the right) and h (downwards): words lie on the diagonal, and a picture
// where its rows and columns put it. What has one position for all axes is a line on the diagonal.
(() => {
  const variants = ((window.qwen2vl ||= {}).variants ||= {});
  const SIDE = 190; // px, at most
  const EDGE = 15; // px, for the numbers
  const NEAR = 7; // px, that a pointer may be away from a token
  const MOST = 40; // steps of a clip that are drawn
  const [H, W] = [1, 2];

  const flat = run => run.medium !== null && run.right[W] > run.right[H]; // rows and columns differ
  const count = run => run.grid[0] * run.grid[1] * run.grid[2];

  // [lowest, highest] of h and w over the pictures, and some words around them.
  function extent(variant) {
    const ranges = [H, W].map(axis => variants.range(variant, axis));
    if (!ranges[0]) {
      const length = Math.max(1, variant.following - 1);
      return [0, length];
    }
    const starts = variant.runs.filter(run => run.medium !== null).map(run => run.origins[0][0]);
    const low = Math.floor(Math.min(...ranges.map(range => range[0]), ...starts));
    const high = Math.ceil(Math.max(...ranges.map(range => range[1])));
    const around = Math.max(2, Math.ceil((high - low) * 0.2));
    return [Math.max(low - around, Math.min(low, 0)), high + around];
  }

  // The place of a token of a run.
  const placeOf = (run, index) => ({
    run,
    k: Math.floor(index / (run.grid[1] * run.grid[2])),
    row: Math.floor(index / run.grid[2]) % run.grid[1],
    column: index % run.grid[2],
  });

  // {paint(state), under(x, y)}, as variants.miniature.
  variants.plane = (canvas, prompt, variant) => {
    let base = null;
    let drawn = "";
    let side = 0;
    let [low, unit] = [0, 1];
    const at = position => EDGE + (position - low) * unit;
    const steps = run => {
      const every = Math.max(1, Math.ceil(run.grid[0] / MOST));
      return Array.from({ length: run.grid[0] }, (_, k) => k).filter(k => k % every === 0 || k === run.grid[0] - 1);
    };
    const box = (run, k) => {
      const [, h, w] = run.origins[k];
      return [at(w - 0.5), at(h - 0.5), run.grid[2] * unit, run.grid[1] * unit];
    };

    function paintBase(width, axis) {
      const { lens } = window.qwen2vl;
      const colours = lens.colours();
      const [from, to] = extent(variant);
      side = Math.min(SIDE, width - EDGE - 2);
      [low, unit] = [from - 0.5, side / (to - from + 1)];
      base = document.createElement("canvas");
      const c = lens.sharp(base, width, side + EDGE + 2);
      c.font = `10.5px ${colours.mono}`;
      c.fillStyle = colours.soft;
      c.textBaseline = "alphabetic";
      c.fillText(`w ${from}`, EDGE, EDGE - 4);
      c.textAlign = "right";
      c.fillText(`${to} →`, EDGE + side, EDGE - 4);
      c.save();
      c.translate(EDGE - 5, EDGE + side);
      c.rotate(-Math.PI / 2);
      c.textAlign = "left";
      c.fillText(`← ${to}`, 0, 0);
      c.textAlign = "right";
      c.fillText(`${from} h`, side, 0);
      c.restore();
      c.strokeStyle = colours.line;
      c.strokeRect(EDGE, EDGE, side, side);
      c.beginPath();
      c.rect(EDGE, EDGE, side, side);
      c.clip();
      c.imageSmoothingEnabled = false;
      const range = variants.range(variant, axis);
      for (const run of variant.runs) {
        if (run.medium === null) words(c, run, colours);
        else if (flat(run)) tiles(c, run, axis, range, colours);
        else line(c, run, axis, range);
      }
    }
    function words(c, run, colours) {
      const r = Math.max(1, Math.min(2.6, unit * 0.4));
      c.fillStyle = colours.soft;
      const first = Math.max(0, Math.ceil(low - run.origins[0][0]));
      const last = Math.min(run.grid[2] - 1, Math.floor(low + side / unit - run.origins[0][0]));
      for (let i = first; i <= last; i++) {
        c.beginPath();
        c.arc(at(run.origins[0][0] + i), at(run.origins[0][0] + i), r, 0, 7);
        c.fill();
      }
    }
    function tiles(c, run, axis, range, colours) {
      const drawnSteps = steps(run);
      c.strokeStyle = colours.ink;
      c.lineWidth = drawnSteps.length > 1 ? 0.75 : 0;
      for (const k of drawnSteps) {
        c.globalAlpha = drawnSteps.length > 1 ? 0.6 : 1;
        c.drawImage(variants.cells(run, k, axis, range), ...box(run, k));
        c.globalAlpha = 1;
        if (drawnSteps.length > 1) c.strokeRect(...box(run, k));
      }
    }
    // All tokens on the diagonal; of many, as many as there are pixels.
    function line(c, run, axis, [first, last]) {
      const all = count(run);
      const every = Math.max(1, Math.floor(all / (2 * side)));
      const r = Math.max(2, Math.min(4, unit * 0.4));
      for (let i = 0; i < all; i += every) {
        const position = variants.position(placeOf(run, i));
        const share = last > first ? (position[axis] - first) / (last - first) : 0.5;
        c.fillStyle = window.qwen2vl.lens.css(window.qwen2vl.lens.scaled(variants.SCALE, share));
        c.fillRect(at(position[W]) - r, at(position[H]) - r, 2 * r, 2 * r);
      }
    }

    return {
      paint(state) {
        const { lens } = window.qwen2vl;
        const { width } = state;
        const colours = lens.colours();
        const key = [width, state.axis, colours.soft, window.devicePixelRatio].join();
        if (key !== drawn) paintBase(width, state.axis);
        drawn = key;
        const height = side + EDGE + 2;
        const c = lens.sharp(canvas, width, height);
        c.clearRect(0, 0, width, height);
        c.drawImage(base, 0, 0, width, height);
        const boxOf = place => {
          if (!place) return null;
          const [, h, w] = variants.position(place);
          const r = Math.max(2, unit / 2);
          const inside = [w, h].every(value => at(value) >= EDGE && at(value) <= EDGE + side);
          return inside ? [at(w) - r, at(h) - r, 2 * r, 2 * r] : null;
        };
        const placeOfToken = token => variants.place(prompt, variant, token);
        variants.outlineTwo(c, [state.first, state.second].map(placeOfToken).map(boxOf), colours.font);
        const own = state.variant === variant && state.place;
        const pointed = boxOf(own || (state.at !== null && placeOfToken(state.at)));
        if (pointed) variants.outline(c, pointed, variants.POINTER);
      },
      under(x, y) {
        const [w, h] = [x, y].map(px => (px - EDGE) / unit + low);
        for (const run of [...variant.runs].reverse()) {
          if (!flat(run)) {
            const step = run.medium === null ? 1 : run.right[W];
            const from = run.origins[0][W];
            const index = step ? Math.round(((w + h) / 2 - from) / step) : 0;
            if (index < 0 || index >= count(run)) continue;
            const place = placeOf(run, index);
            const [, placeH, placeW] = variants.position(place);
            if (Math.hypot(at(placeW) - x, at(placeH) - y) <= NEAR) return place;
            continue;
          }
          for (const k of steps(run).reverse()) {
            const [row, column] = [Math.round(h - run.origins[k][H]), Math.round(w - run.origins[k][W])];
            if (row >= 0 && row < run.grid[1] && column >= 0 && column < run.grid[2]) return { run, k, row, column };
          }
        }
        return null;
      },
    };
  };
})();
