// All tokens of the prompt in order, as chips: a new line for each turn, a chip for each token of text, and one chip
// for a picture, which unfolds into all its tokens, row by row as they lie in it. The tokens of the answer follow, once
// it is known. One canvas over a scrolled area, of which only the visible rows are
// drawn, so that thousands of tokens scroll smoothly.
(() => {
  const lens = window.qwen2vl.lens;
  const ROW = 30;
  const CHIP = 24;
  const CELL = 24; // px of a token of a picture, unless its rows are too long for that
  const SMALLEST = 3;
  const GAP = 3;
  const THUMB = 22;
  const PAD = 10; // px, like those above
  const MAX_HEIGHT = 5000; // px of a saved figure

  lens.views.chips = () => {
    const canvas = lens.el("canvas", { "aria-hidden": "true" });
    const room = lens.el("div", { class: "lens-chips-room" }, canvas);
    const root = lens.el(
      "div",
      {
        class: "lens-chips",
        tabindex: "0",
        role: "application",
        "aria-label": "The prompt, token by token. Arrow keys move, Enter unfolds a picture.",
      },
      room,
    );
    const open = new Set(); // digests of unfolded media
    let items = [];
    let labels = [];
    let height = 0;
    let laid = 0;

    function layout() {
      const { data } = lens.state;
      const width = root.clientWidth - 2;
      items = [];
      labels = [];
      laid = width;
      if (!data || width < 40) return;
      const c = canvas.getContext("2d");
      const left = width > 560 ? 92 : PAD;
      const mono = lens.colours().mono;
      c.font = `12.5px ${mono}`;
      let x = left;
      let y = PAD;
      const place = (w, item) => {
        if (x + w > width - PAD && x > left) {
          x = left;
          y += ROW;
        }
        items.push({ ...item, x, y, w });
        x += w + GAP;
      };
      // The tokens of a medium below its chip, in rows as wide as the medium.
      const unfolded = (medium, index) => {
        const [T, h, w] = medium.merged_grid;
        const room = width - left - PAD;
        const pitch = Math.max(SMALLEST, Math.min(CELL + GAP, Math.floor(room / w)));
        const side = pitch > 10 ? pitch - GAP : pitch;
        x = left;
        y += ROW;
        for (let t = 0; t < T; t++) {
          for (let row = 0; row < h; row++, y += pitch)
            for (let column = 0; column < w; column++)
              items.push({
                i: data.tokenAt(index, t, row, column),
                cell: true,
                index,
                x: left + column * pitch,
                y,
                w: side,
              });
          y += 8;
        }
      };
      const word = (i, text, more) =>
        place(Math.min(width - left - PAD, Math.max(14, c.measureText(text).width + 11)), { i, text, ...more });
      const turns =
        data.turns.length && data.turns[0].start === 0
          ? data.turns
          : [{ role: "", start: 0, end: data.turns[0]?.start ?? data.length }, ...data.turns];
      for (const turn of turns) {
        if (turn.end <= turn.start) continue;
        if (x > left) {
          x = left;
          y += ROW + 6;
        }
        labels.push({ role: turn.role, y, turn });
        if (left === PAD) y += 20;
        for (let i = turn.start; i < turn.end; i++) {
          const index = data.mediumOf[i];
          if (index < 0) {
            word(i, lens.visible(data.tokens[i]), { special: data.special[i] });
            continue;
          }
          const medium = data.media[index];
          const end = medium.span[1];
          const isOpen = open.has(medium.digest);
          const tokens = lens.count(medium.merged_tokens, "token");
          const label = `${isOpen ? "▾" : "▸"} ${medium.name || lens.word(medium)}  ${tokens}`;
          place(Math.min(width - left - PAD, c.measureText(label).width + THUMB + 26), {
            i,
            medium,
            index,
            text: label,
            fold: true,
          });
          if (isOpen) unfolded(medium, index);
          i = end - 1;
        }
        if (turn === turns.at(-1))
          lens.state.answer?.tokens.forEach((piece, k) => word(data.length + k, lens.visible(piece), { answer: true }));
        labels[labels.length - 1].bottom = y + CHIP;
      }
      height = y + ROW + PAD;
      room.style.height = `${height}px`;
    }

    lens.chipPlaces = () => items; // positions of all chips, for tests

    // Index of the first item whose row ends below y. Items are sorted by row.
    const from = y => {
      let low = 0;
      let high = items.length;
      while (low < high) {
        const mid = (low + high) >> 1;
        if (items[mid].y + ROW < y) low = mid + 1;
        else high = mid;
      }
      return low;
    };

    function draw() {
      if (!lens.state.data || !root.offsetParent) return;
      if (laid !== root.clientWidth - 2) layout();
      const top = root.scrollTop;
      const view = root.clientHeight;
      canvas.style.transform = `translateY(${top}px)`;
      paint(canvas, top, view);
    }
    // Paints the rows between `top` and `top + view` px.
    function paint(canvas, top, view) {
      const { data, at } = lens.state;
      const width = laid;
      const c = lens.sharp(canvas, width, Math.min(view, height));
      const colours = lens.colours();
      c.clearRect(0, 0, width, view);
      c.translate(0, -top);
      c.textBaseline = "middle";
      for (const label of labels) {
        if (label.bottom < top - 30 || label.y > top + view) continue;
        c.fillStyle = colours.soft;
        c.font = `600 12px ${colours.font}`;
        c.textAlign = "left";
        c.fillText(label.role, PAD, label.y + (width > 560 ? CHIP / 2 : 8));
        if (width > 560) {
          c.fillStyle = colours.line;
          c.fillRect(82, label.y, 2, label.bottom - label.y);
        }
      }
      const pointed = at && data.place(at.token);
      for (let k = from(top); k < items.length && items[k].y < top + view; k++) {
        const item = items[k];
        const on =
          at && (item.i === at.token || (item.fold && pointed?.medium === item.index && !open.has(item.medium.digest)));
        if (item.cell) cell(c, data, item, colours);
        else chip(c, item, colours);
        if (on && !(item.fold && open.has(item.medium?.digest))) {
          const [w, h] = item.cell ? [item.w, item.w] : [item.w, CHIP];
          c.strokeStyle = "rgba(10,10,14,.85)";
          c.lineWidth = 4.5;
          c.strokeRect(item.x, item.y, w, h);
          c.strokeStyle = "#ffd60a";
          c.lineWidth = 2.2;
          c.strokeRect(item.x, item.y, w, h);
        }
      }
    }
    function cell(c, data, item, colours) {
      const place = data.place(item.i);
      const medium = data.media[place.medium];
      if (
        lens.drawCell(
          c,
          medium,
          medium.kind === "video" ? 2 * place.t : 0,
          place.row,
          place.column,
          item.x,
          item.y,
          item.w,
        )
      )
        return;
      c.fillStyle = colours.wash;
      c.fillRect(item.x, item.y, item.w, item.w);
    }
    function chip(c, item, colours) {
      c.fillStyle = colours[item.fold ? "vision" : item.special ? "special" : item.answer ? "answer" : "text"];
      c.beginPath();
      c.roundRect(item.x, item.y, item.w, CHIP, 6);
      c.fill();
      c.fillStyle = item.fold || item.special ? colours.card : colours.ink;
      c.font = `12.5px ${colours.mono}`;
      c.textAlign = "left";
      let x = item.x + 5.5;
      if (item.fold) {
        const [h, w] = item.medium.resized_size;
        const k = (THUMB - 4) / Math.max(h, w);
        c.save();
        lens.drawFrame(c, item.medium, 0, item.x + 5, item.y + (CHIP - h * k) / 2, w * k, h * k);
        c.restore();
        x = item.x + THUMB + 8;
      }
      c.fillText(item.text, x, item.y + CHIP / 2 + 0.5, item.w - (x - item.x) - 4);
    }

    function under(event) {
      const r = root.getBoundingClientRect();
      const x = event.clientX - r.left;
      const y = event.clientY - r.top + root.scrollTop;
      for (let k = from(y - ROW); k < items.length && items[k].y <= y; k++) {
        const item = items[k];
        if (x >= item.x && x < item.x + item.w + GAP && y < item.y + (item.cell ? item.w + GAP : CHIP)) return item;
      }
      return null;
    }
    const unfold = medium => {
      if (!open.delete(medium.digest)) open.add(medium.digest);
      laid = 0;
      draw();
    };
    // Scrolls to the token that another view points at.
    function reveal() {
      const { at, data } = lens.state;
      if (!at || !data) return;
      const item = items.find(i => i.i === at.token && !(i.fold && i.medium && open.has(i.medium.digest)));
      if (item && (item.y < root.scrollTop || item.y + ROW > root.scrollTop + root.clientHeight))
        root.scrollTop = item.y - root.clientHeight / 2;
    }
    let hovering = false;
    root.addEventListener("pointermove", event => {
      hovering = true;
      if (lens.state.held || event.pointerType === "touch") return;
      const item = under(event);
      if (item) lens.point(item.i);
    });
    root.addEventListener("pointerleave", () => {
      hovering = false;
      if (!lens.state.held) lens.set({ at: null });
    });
    root.addEventListener("click", event => {
      const item = under(event);
      if (!item) return;
      if (item.fold) return unfold(item.medium);
      const release = lens.state.held && lens.state.at?.token === item.i;
      lens.point(item.i);
      lens.set({ held: !release });
    });
    root.addEventListener("keydown", event => {
      const { data, at } = lens.state;
      if (!data || !items.length) return;
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -1e9, End: 1e9 }[event.key];
      const now = at ? items.findIndex(i => i.i === at.token && !(i.fold && open.has(i.medium.digest))) : -1;
      if (step) {
        event.preventDefault();
        const next = Math.max(0, Math.min(items.length - 1, now < 0 ? 0 : now + step));
        lens.point(items[next].i);
        lens.set({ held: true });
        reveal();
      } else if ((event.key === "Enter" || event.key === " ") && now >= 0) {
        event.preventDefault();
        if (data.mediumOf[items[now].i] >= 0) unfold(data.media[data.mediumOf[items[now].i]]);
      } else if (event.key === "Escape") lens.set({ at: null, held: false });
    });
    root.addEventListener("scroll", draw);
    lens.on("data", () => {
      laid = 0;
      root.scrollTop = 0;
    });
    lens.on("change", names => {
      if (names.has("theme") || names.has("answer")) laid = 0;
      draw();
      if (names.has("at") && !hovering) reveal();
    });
    new ResizeObserver(() => draw()).observe(root);

    // All rows on one canvas, to be saved, up to MAX_HEIGHT.
    root.figure = () => {
      const out = document.createElement("canvas");
      paint(out, 0, Math.min(height, MAX_HEIGHT));
      return out;
    };
    return root;
  };
})();
