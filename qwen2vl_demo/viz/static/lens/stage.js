// The stage: a canvas with the picture and a layer over it, whose cells can be pointed at by pointer, touch and keys.
//
// The picture and its layer are painted once, at the resolution of the screen (a grid that is painted larger and then
// scaled down shows moiré). The cell pointed at is marked by an element above the canvas, so that moving it repaints
// nothing.
(() => {
  const lens = window.qwen2vl.lens;
  const { FACTOR, PATCH } = lens.geometry;
  const WIDE = 980; // px from which there are two columns, as in lens.css
  const ASIDE = 388; // px that the second column takes
  // Heights in px of what stands below the picture: the readout and the strip; a colour bar; one more line of the
  // readout; the player of a clip. They are not measured, so that the picture has its size from the beginning.
  const READOUT = 232;
  const BAR = 32;
  const FACT = 22;
  const PLAYER = 70;

  // options: {paint(context, box) draws the picture and its layer, patches() tells whether patches can be pointed at}
  // box: {width, height: CSS px of the picture on the screen, scale: CSS px per pixel of the resized picture, medium}
  lens.stage = ({ paint, patches }) => {
    const canvas = lens.el("canvas", { "aria-hidden": "true" });
    const cell = lens.el("i", { class: "lens-mark" });
    const part = lens.el("i", { class: "lens-mark lens-mark-part" });
    const root = lens.el(
      "div",
      {
        class: "lens-stage",
        tabindex: "0",
        role: "application",
        "aria-label": "The picture as cells. Arrow keys move from token to token, Enter holds one, Escape lets go.",
      },
      canvas,
      cell,
      part,
    );
    let box = null;
    let stale = true;

    function measure() {
      const medium = lens.medium();
      const columns = root.closest(".lens-columns");
      if (!medium || !columns?.clientWidth) return null;
      const room = columns.clientWidth - (columns.clientWidth >= WIDE ? ASIDE : 0);
      const [H, W] = medium.resized_size;
      const most = Math.max(240, Math.min(window.innerHeight * 0.68, below()));
      const width = Math.max(24, Math.min(room, (most * W) / H, Math.max(8 * W, 420)));
      const height = (width * H) / W;
      return { width, height, scale: width / W, medium };
    }

    // The height that is left for the picture above its readout, if the panel has its own scroll bar.
    function below() {
      const side = document.querySelector("#side");
      if (!side || getComputedStyle(side).overflowY !== "auto") return window.innerHeight * 0.6;
      const top = root.getBoundingClientRect().top - side.getBoundingClientRect().top + side.scrollTop;
      if (lens.isWide()) return side.clientHeight - top - 80;
      const { layer } = lens.state;
      const more = (lens.layers[layer].bar ? BAR : 0) + (layer === "attention" ? FACT : 0);
      return side.clientHeight - top - READOUT - more - (lens.medium().kind === "video" ? PLAYER : 0);
    }

    function draw(names) {
      if (!root.isConnected || !root.offsetParent) return;
      const next = measure();
      if (!next) return;
      if (!box || next.width !== box.width || next.height !== box.height || next.medium !== box.medium) stale = true;
      if (
        !names ||
        ["data", "medium", "layer", "t", "overlay", "picture", "theme", "size", "order", "frame"].some(n =>
          names.has(n),
        )
      )
        stale = true;
      box = next;
      if (stale) {
        const c = lens.sharp(canvas, box.width, box.height);
        c.clearRect(0, 0, box.width, box.height);
        paint(c, box);
        stale = false;
        lens.wantDetail(box);
      }
      mark();
    }

    // Moves the mark to the cell pointed at and, in the layer of patches, to the patch.
    function mark() {
      const { at, data, medium, t, held } = lens.state;
      const place = at && data.place(at.token);
      const side = FACTOR * box.scale;
      const here = Boolean(place && place.medium === medium && place.t === t && lens.order.shown === null);
      cell.hidden = !here;
      part.hidden = !here || !patches() || at.patch < 0;
      if (!here) return;
      put(cell, place.column * side, place.row * side, side);
      cell.classList.toggle("lens-held", held);
      if (!part.hidden)
        put(part, (place.column + (at.patch & 1) / 2) * side, (place.row + (at.patch >> 1) / 2) * side, side / 2);
    }
    const put = (element, x, y, side) => {
      const size = `${side}px`;
      if (element.style.width !== size) element.style.width = element.style.height = size;
      element.style.transform = `translate(${x}px,${y}px)`;
    };

    // The cell under the pointer: {token, patch}, or null.
    function under(event) {
      if (!box) return null;
      const r = canvas.getBoundingClientRect();
      const x = ((event.clientX - r.left) / r.width) * box.medium.resized_size[1];
      const y = ((event.clientY - r.top) / r.height) * box.medium.resized_size[0];
      const [, h, w] = box.medium.merged_grid;
      const row = Math.floor(y / FACTOR);
      const column = Math.floor(x / FACTOR);
      if (row < 0 || column < 0 || row >= h || column >= w) return null;
      const patch = patches() ? (Math.floor(y / PATCH) & 1) * 2 + (Math.floor(x / PATCH) & 1) : -1;
      return { token: lens.state.data.tokenAt(lens.state.medium, lens.state.t, row, column), patch };
    }

    root.addEventListener("pointermove", event => {
      if (event.pointerType === "touch" ? !root.hasPointerCapture(event.pointerId) : lens.state.held) return;
      const at = under(event);
      if (at) lens.set({ at });
    });
    root.addEventListener("pointerleave", event => {
      if (event.pointerType !== "touch" && !lens.state.held) lens.set({ at: null });
    });
    root.addEventListener("click", event => {
      const at = under(event);
      const old = lens.state.at;
      if (!at) return;
      const release = lens.state.held && old && old.token === at.token && old.patch === at.patch;
      lens.set({ at, held: !release });
    });
    root.addEventListener("keydown", event => {
      const medium = lens.medium();
      if (!medium) return;
      const { data, t, medium: index } = lens.state;
      const [T, h, w] = medium.merged_grid;
      const fine = patches() ? 2 : 1;
      const place = lens.state.at && data.place(lens.state.at.token);
      const step = {
        ArrowLeft: [0, -1],
        ArrowRight: [0, 1],
        ArrowUp: [-1, 0],
        ArrowDown: [1, 0],
        Home: [0, -1e6],
        End: [0, 1e6],
      }[event.key];
      if (step) {
        event.preventDefault();
        const patch = Math.max(0, lens.state.at?.patch ?? 0);
        let row = place ? place.row * fine + (fine > 1 ? patch >> 1 : 0) : -step[0];
        let column = place ? place.column * fine + (fine > 1 ? patch & 1 : 0) : -step[1];
        if (!place) {
          row = 0;
          column = 0;
        } else {
          row += step[0];
          column += step[1];
        }
        row = Math.max(0, Math.min(h * fine - 1, row));
        column = Math.max(0, Math.min(w * fine - 1, column));
        const cell = fine > 1 ? (row & 1) * 2 + (column & 1) : -1;
        lens.set({
          at: { token: data.tokenAt(index, t, Math.floor(row / fine), Math.floor(column / fine)), patch: cell },
          held: true,
        });
      } else if (event.key === "PageDown" || event.key === "PageUp") {
        if (T < 2) return;
        event.preventDefault();
        const next = Math.max(0, Math.min(T - 1, t + (event.key === "PageDown" ? 1 : -1)));
        lens.set({ t: next });
        if (place)
          lens.set({ at: { token: data.tokenAt(index, next, place.row, place.column), patch: lens.state.at.patch } });
      } else if (event.key === "Escape") lens.set({ at: null, held: false });
      else if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        lens.set({ held: !lens.state.held });
      }
    });

    lens.on("change", draw);
    const watch = new ResizeObserver(() => draw());
    watch.observe(root);
    requestAnimationFrame(() => watch.observe(root.closest(".tabitem") || root)); // elements above it may grow
    return { root, canvas, box: () => box };
  };

  // Draws one frame of a medium into (x, y, width, height).
  lens.drawFrame = (context, medium, frame, x, y, width, height) => {
    const { image, picture, frame: at } = lens.source(medium, frame);
    if (!picture?.complete || !picture.naturalWidth) return false;
    const [sx, sy, sw, sh] = lens.frameRect(image, at);
    context.imageSmoothingEnabled = width < sw * 3;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, sx, sy, sw, sh, x, y, width, height);
    return true;
  };

  // Draws the pixels of one cell (28 x 28 px, or one of its patches) of a frame.
  lens.drawCell = (context, medium, frame, row, column, x, y, side) => {
    const { image, picture, frame: at } = lens.source(medium, frame);
    if (!picture?.complete || !picture.naturalWidth) return false;
    const [sx, sy, sw, sh] = lens.frameRect(image, at);
    const kx = sw / medium.resized_size[1];
    const ky = sh / medium.resized_size[0];
    context.imageSmoothingEnabled = kx < 0.6;
    context.drawImage(
      picture,
      sx + column * FACTOR * kx,
      sy + row * FACTOR * ky,
      FACTOR * kx,
      FACTOR * ky,
      x,
      y,
      side,
      side,
    );
    return true;
  };
})();
