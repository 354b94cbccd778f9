// The parts of geometry.py that run in the browser, while a slider is moved or the pointer moves. A test compares each
// function with its Python counterpart over many sizes.
(() => {
  const lens = window.qwen2vl.lens;
  const PATCH = 14;
  const MERGE = 2;
  const FACTOR = PATCH * MERGE;
  const TOKEN = FACTOR * FACTOR;
  const FRAME_MIN = 128 * TOKEN;
  const FRAME_MAX = 768 * TOKEN;
  const CLIP_TOTAL = 24576 * TOKEN;
  const g = (lens.geometry = { PATCH, MERGE, FACTOR });

  // Python's round: halves go to the even neighbour, whereas Math.round rounds them up.
  g.roundHalfEven = value => {
    const down = Math.floor(value);
    const rest = value - down;
    if (rest !== 0.5) return Math.round(value);
    return down % 2 === 0 ? down : down + 1;
  };

  // {height, width, acted}: the resized size, and which limit of the budget applied ("max", "min" or null).
  g.smartResize = (height, width, min, max) => {
    let h = g.roundHalfEven(height / FACTOR) * FACTOR;
    let w = g.roundHalfEven(width / FACTOR) * FACTOR;
    let acted = null;
    if (h * w > max) {
      const beta = Math.sqrt((height * width) / max);
      h = Math.max(FACTOR, Math.floor(height / beta / FACTOR) * FACTOR);
      w = Math.max(FACTOR, Math.floor(width / beta / FACTOR) * FACTOR);
      acted = "max";
    } else if (h * w < min) {
      const beta = Math.sqrt(min / (height * width));
      h = Math.ceil((height * beta) / FACTOR) * FACTOR;
      w = Math.ceil((width * beta) / FACTOR) * FACTOR;
      acted = "min";
    }
    return { height: h, width: w, acted };
  };

  // Like smartResize, but never above a maximum that was set below the minimum; `_fit` of processing/image.py.
  g.fit = (height, width, min, max, strict) => {
    const fitted = g.smartResize(height, width, min, max);
    if (!strict || fitted.height * fitted.width <= max) return fitted;
    const magnify = Math.ceil(max / Math.min(height, width));
    const { height: h, width: w } = g.smartResize(height * magnify, width * magnify, FACTOR * FACTOR, max);
    const longest = Math.floor(max / (Math.min(h, w) * FACTOR)) * FACTOR;
    return { height: Math.min(h, longest), width: Math.min(w, longest), acted: "max" };
  };

  // Size of a picture with at most `tokens`; `least` is the checkpoint's minimum of pixels, `chosen` the visitor's.
  g.pictureSize = (height, width, tokens, least, chosen = null) => {
    const max = tokens * TOKEN;
    const lowered = chosen === null && max < least;
    const min = lowered ? max : (chosen ?? least);
    return { ...g.fit(height, width, min, max, lowered), min, max };
  };

  // Size of each of `frames` frames of a clip: at most `tokens`, its share of the clip's total, and the checkpoint's
  // `most` pixels (a limit that a picture may be allowed to exceed, but not a frame).
  g.frameSize = (height, width, frames, tokens, least, most, chosen = null) => {
    const floor = chosen ?? FRAME_MIN;
    const share = Math.min(FRAME_MAX, (CLIP_TOTAL / frames) * 2);
    const max = Math.min(Math.trunc(Math.max(share, 1.05 * floor)), tokens * TOKEN, most);
    const lowered = chosen === null && max < floor;
    const min = lowered ? Math.min(least, max) : floor;
    return { ...g.fit(height, width, min, max, lowered), min, max };
  };

  // Index in block order of the patch at (row, column) of a temporal slice that is `columns` patches wide, and back.
  g.blockPlace = (row, column, columns) =>
    ((row >> 1) * (columns >> 1) + (column >> 1)) * 4 + (row & 1) * 2 + (column & 1);
  g.blockPatch = (place, columns) => {
    const cell = place >> 2;
    const inside = place & 3;
    const across = columns >> 1;
    return { row: Math.floor(cell / across) * 2 + (inside >> 1), column: (cell % across) * 2 + (inside & 1) };
  };
})();
