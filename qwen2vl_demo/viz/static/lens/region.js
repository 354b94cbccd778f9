// A region of the picture: a rectangle of merged tokens that is dragged over with the pointer, or chosen by keyboard.
//
// lens.state.choosing   whether the stage chooses a region instead of pointing at cells
// lens.state.region     {medium, rows: [first, last], columns: [first, last]}, or null
// lens.state.cover      how the region is drawn: "grey" (covered) or "left_out" (hatched)
//
// Arrow keys move the region as one cell, with Shift they stretch it, Enter ends choosing, Escape drops the region.
(() => {
  const lens = window.qwen2vl.lens;
  const { FACTOR } = lens.geometry;
  Object.assign(lens.state, { choosing: false, region: null, cover: "grey" });
  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  // The region in words, for a sentence.
  lens.regionText = ({ rows, columns }) => {
    const part = (name, [first, last]) => (first === last ? `${name} ${first}` : `${name}s ${first} to ${last}`);
    return `${part("row", rows)}, ${part("column", columns)}`;
  };

  // Makes a stage able to choose a region.
  lens.views.region = ({ root, canvas, box }) => {
    const mark = lens.el("i", { class: "lens-region" });
    root.append(mark);
    let anchor = null; // the cell at which the region began: [row, column]
    let end = null; // the one opposite of it

    // The cell under the pointer; outside of the picture, the nearest one.
    function cellAt(event) {
      const { medium } = box();
      const [, h, w] = medium.merged_grid;
      const r = canvas.getBoundingClientRect();
      const cell = (at, size, pixels, most) =>
        Math.max(0, Math.min(most - 1, Math.floor(((at / size) * pixels) / FACTOR)));
      const [H, W] = medium.resized_size;
      return [cell(event.clientY - r.top, r.height, H, h), cell(event.clientX - r.left, r.width, W, w)];
    }

    function choose() {
      const [rows, columns] = [0, 1].map(axis => [
        Math.min(anchor[axis], end[axis]),
        Math.max(anchor[axis], end[axis]),
      ]);
      lens.set({ region: { medium: lens.state.medium, rows, columns } });
    }

    const pointer = {
      pointerdown(event) {
        if (event.button) return;
        root.setPointerCapture(event.pointerId);
        anchor = end = cellAt(event);
        choose();
      },
      pointermove(event) {
        if (!anchor || !event.buttons || !root.hasPointerCapture(event.pointerId)) return;
        end = cellAt(event);
        choose();
      },
      pointerup(event) {
        if (root.hasPointerCapture(event.pointerId)) root.releasePointerCapture(event.pointerId);
      },
      click() {},
    };
    for (const [name, act] of Object.entries(pointer))
      root.addEventListener(
        name,
        event => {
          if (!lens.state.choosing || !box()) return;
          event.stopImmediatePropagation();
          if (name === "pointerdown") event.preventDefault();
          if (name === "pointerdown") root.focus({ preventScroll: true });
          act(event);
        },
        true,
      );

    root.addEventListener(
      "keydown",
      event => {
        const medium = lens.medium();
        if (!lens.state.choosing || !medium) return;
        const step = STEPS[event.key];
        if (event.key === "Escape") lens.set({ choosing: false, region: null });
        else if (event.key === "Enter" || event.key === " ") lens.set({ choosing: false });
        else if (!step) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        if (!step) return;
        const [, h, w] = medium.merged_grid;
        const { region } = lens.state;
        if (!region || region.medium !== lens.state.medium) anchor = end = [h >> 1, w >> 1];
        else end = [0, 1].map(axis => Math.max(0, Math.min([h, w][axis] - 1, end[axis] + step[axis])));
        if (!event.shiftKey) anchor = end;
        choose();
      },
      true,
    );

    // In shares of the stage, whose size is that of the picture.
    lens.on("change", names => {
      if (names.size === 1 && names.has("at")) return;
      const { region, choosing, cover } = lens.state;
      const medium = lens.medium();
      root.classList.toggle("lens-choosing", choosing);
      mark.hidden = !region || !medium || region.medium !== lens.state.medium;
      if (mark.hidden) return;
      mark.dataset.cover = cover;
      const [, h, w] = medium.merged_grid;
      const share = (from, to, most) => [`${(100 * from) / most}%`, `${(100 * (to - from + 1)) / most}%`];
      [mark.style.top, mark.style.height] = share(...region.rows, h);
      [mark.style.left, mark.style.width] = share(...region.columns, w);
    });
  };

  // Another prompt, or the same picture cut otherwise, has other tokens.
  let key = null;
  lens.on("data", data => {
    if (data?.key !== key) lens.set({ region: null, choosing: false });
    key = data?.key;
  });
})();
