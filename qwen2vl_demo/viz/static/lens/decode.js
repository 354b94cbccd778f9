// Decodes a payload into arrays. viz/lens_payload.py defines its format.
(() => {
  const lens = window.qwen2vl.lens;

  // [first, step, count, ...] -> all values
  lens.fromRuns = runs => {
    let length = 0;
    for (let i = 2; i < runs.length; i += 3) length += runs[i];
    const values = new Float64Array(length);
    for (let i = 0, at = 0; i < runs.length; i += 3)
      for (let k = 0, value = runs[i]; k < runs[i + 2]; k++, value += runs[i + 1]) values[at++] = value;
    return values;
  };

  const pieces = packed => packed.flatMap(p => (typeof p === "string" ? [p] : Array(p[1]).fill(p[0])));

  lens.decode = payload => {
    const data = {
      key: payload.key,
      draft: payload.draft,
      eyes: payload.eyes || "model",
      answered: payload.answered || 0,
      payload,
      length: payload.length,
      rope_delta: payload.rope_delta,
      context_length: payload.context_length,
      input_ids: lens.fromRuns(payload.input_ids),
      position_ids: payload.position_ids.map(lens.fromRuns),
      tokens: pieces(payload.tokens),
      turns: payload.turns,
      limits: payload.limits,
      media: payload.media.map(medium => ({
        ...medium,
        merged_grid: [medium.grid_thw[0], medium.grid_thw[1] / 2, medium.grid_thw[2] / 2],
        picture: null, // the image that is shown, loaded lazily
        base: null, // the original picture, likewise
      })),
    };
    // The media as they were attached, with their frames: a clip can be in pieces, behind time stamps.
    data.attached = [];
    data.media.forEach(medium => {
      const { kind, name, piece, timestamps } = medium;
      if (!piece) data.attached.push({ kind, name, first: medium, frames: [] });
      else if (!piece.number) data.attached.push({ kind: "video", name: piece.clip, first: medium, frames: [] });
      data.attached.at(-1).frames.push(...timestamps.map((time, at) => ({ medium, at, time })));
    });
    data.mediumOf = new Int16Array(data.length).fill(-1);
    data.media.forEach((medium, index) => data.mediumOf.fill(index, ...medium.span));
    data.special = data.tokens.map((piece, i) => data.mediumOf[i] < 0 && /^<\|[^|]+\|>$/.test(piece));
    data.largest = data.position_ids.reduce((most, axis) => axis.reduce((a, b) => Math.max(a, b), most), 0);

    // The cell of a token in its medium; null for a token of text.
    data.place = token => {
      const index = data.mediumOf[token];
      if (!(index >= 0)) return null;
      const {
        span,
        merged_grid: [, h, w],
      } = data.media[index];
      const local = token - span[0];
      return {
        medium: index,
        local,
        t: Math.floor(local / (h * w)),
        row: Math.floor(local / w) % h,
        column: local % w,
      };
    };
    // Index in the prompt of the token of a cell.
    data.tokenAt = (index, t, row, column) => {
      const {
        span,
        merged_grid: [, h, w],
      } = data.media[index];
      return span[0] + (t * h + row) * w + column;
    };
    data.media.forEach(medium => {
      medium.picture = load(medium.shown);
      medium.base = medium.original && load(medium.original);
    });
    return data;
  };

  // Images are cached by URI, so that a turn without new media loads none again.
  const images = new Map();
  const load = (lens.loaded = image => {
    let element = images.get(image.uri);
    if (!element) {
      element = new Image();
      element.decoding = "async";
      element.onload = () => lens.redraw("picture");
      element.src = image.uri;
      images.set(image.uri, element);
      if (images.size > 48) images.delete(images.keys().next().value);
    }
    return element;
  });

  // The rectangle of a frame in its image: [x, y, width, height] in px.
  lens.frameRect = (image, frame) => {
    const at = Math.min(frame, image.count - 1);
    return [
      (at % image.columns) * image.width,
      Math.floor(at / image.columns) * image.height,
      image.width,
      image.height,
    ];
  };
})();
