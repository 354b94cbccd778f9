// The layers over the picture: the grid of patches, the merged tokens, the three positions, the attention. Each layer
// paints itself and has a caption, one sentence with the numbers of the picture that is shown.
(() => {
  const lens = window.qwen2vl.lens;
  const { FACTOR, PATCH } = lens.geometry;
  const layers = (lens.layers = {});
  const VEIL = 0.78; // opacity of the colours of a position

  // A grey picture lies below colours that stand for numbers.
  function picture(c, box, grey) {
    const { medium } = box;
    const frame = medium.kind === "video" ? 2 * lens.state.t + (lens.state.frame || 0) : 0;
    if (grey) c.filter = "grayscale(1) contrast(.9)";
    if (!lens.drawFrame(c, medium, frame, 0, 0, box.width, box.height)) {
      c.fillStyle = lens.colours().wash || "#888";
      c.fillRect(0, 0, box.width, box.height);
    }
    c.filter = "none";
  }

  // Grid lines every `step` pixels of the picture, white with a dark edge so that they show on any background.
  function lines(c, box, step, strength) {
    const {
      width,
      height,
      scale,
      medium: {
        resized_size: [H, W],
      },
    } = box;
    if (step * scale < 3.5) return;
    strength *= Math.min(1, 0.2 + (step * scale) / 26); // so that a fine grid does not hide the picture
    const half = 0.5 / (window.devicePixelRatio || 1);
    for (const [shift, colour] of [
      [half * 2, `rgba(0,0,0,${0.55 * strength})`],
      [0, `rgba(255,255,255,${0.9 * strength})`],
    ]) {
      c.strokeStyle = colour;
      c.lineWidth = half * 2;
      c.beginPath();
      for (let x = step; x < W; x += step) {
        const X = Math.round(x * scale) + half + shift;
        c.moveTo(X, 0);
        c.lineTo(X, height);
      }
      for (let y = step; y < H; y += step) {
        const Y = Math.round(y * scale) + half + shift;
        c.moveTo(0, Y);
        c.lineTo(width, Y);
      }
      c.stroke();
    }
  }

  const where = medium => `tokens ${lens.number(medium.span[0])} to ${lens.number(medium.span[1] - 1)} of the prompt`;
  const axisRange = (medium, axis) => {
    const values = lens.state.data.position_ids[axis];
    let low = Infinity;
    let high = -Infinity;
    for (let i = medium.span[0]; i < medium.span[1]; i++) {
      low = Math.min(low, values[i]);
      high = Math.max(high, values[i]);
    }
    return [low, high];
  };
  // One range of colours for t, h and w of a medium, so that they can be compared.
  lens.positionRange = medium => {
    medium.positionRange ||= (() => {
      const all = [0, 1, 2].map(axis => axisRange(medium, axis));
      return { axes: all, low: Math.min(...all.map(r => r[0])), high: Math.max(...all.map(r => r[1])) };
    })();
    return medium.positionRange;
  };

  layers.patches = {
    paint(c, box) {
      picture(c, box);
      lens.order.dim(c, box);
      lines(c, box, PATCH, 0.5);
      lines(c, box, FACTOR, 1);
    },
    caption(medium) {
      const [t, h, w] = medium.grid_thw;
      const slices = t > 1 ? `, the same for each of its ${t} pairs of frames` : "";
      return (
        `Cut into ${lens.number(w)} x ${lens.number(h)} = ${lens.number(w * h)} patches of 14x14 pixels${slices}. ` +
        "They enter the model block by block, four patches at a time, so that those which will be merged stand " +
        "together."
      );
    },
  };

  layers.merged = {
    paint(c, box) {
      picture(c, box);
      lines(c, box, FACTOR, 0.9);
    },
    caption(medium) {
      const [t, h, w] = medium.merged_grid;
      const product = t > 1 ? `${t} x ${w} x ${h}` : `${w} x ${h}`;
      return (
        `Four patches become one token: ${product} = ${lens.number(medium.merged_tokens)} tokens, each for 28x28 ` +
        `pixels${t > 1 ? " of two frames" : ""}. They are ${where(medium)}.`
      );
    },
  };

  function heat(c, box, share, scale, alpha) {
    const { medium } = box;
    const [, h, w] = medium.merged_grid;
    const cells = (heat.canvas ||= document.createElement("canvas"));
    cells.width = w;
    cells.height = h;
    const context = cells.getContext("2d");
    const image = context.createImageData(w, h);
    const table = lens.scales[scale];
    for (let i = 0; i < h * w; i++) {
      const value = Math.round(255 * share(i));
      image.data.set(table.subarray(3 * value, 3 * value + 3), 4 * i);
      image.data[4 * i + 3] = 255 * (typeof alpha === "function" ? alpha(value / 255) : alpha);
    }
    context.putImageData(image, 0, 0);
    c.imageSmoothingEnabled = false;
    c.drawImage(cells, 0, 0, box.width, box.height);
  }

  ["t", "h", "w"].forEach((name, axis) => {
    layers[name] = {
      paint(c, box) {
        const { medium, scale } = box;
        const [, h, w] = medium.merged_grid;
        const range = lens.positionRange(medium);
        const values = lens.state.data.position_ids[axis];
        const start = medium.span[0] + lens.state.t * h * w;
        const share = i => (range.high > range.low ? (values[start + i] - range.low) / (range.high - range.low) : 0);
        picture(c, box, true);
        heat(c, box, share, name, VEIL);
        lines(c, box, FACTOR, 0.35);
        const side = FACTOR * scale;
        if (side < 21) return;
        c.font = `600 ${Math.min(15, side * 0.4)}px ${lens.colours().mono || "monospace"}`;
        c.textAlign = "center";
        c.textBaseline = "middle";
        for (let i = 0; i < h * w; i++) {
          c.fillStyle = lens.inkOn(lens.veiled(lens.scaled(name, share(i)), VEIL));
          c.fillText(values[start + i], ((i % w) + 0.5) * side, (Math.floor(i / w) + 0.5) * side, side - 2);
        }
      },
      caption(medium) {
        const { axes } = lens.positionRange(medium);
        const [low, high] = axes[axis];
        const start = axes[0][0];
        const [t, h, w] = medium.merged_grid;
        if (name === "t") {
          return medium.kind === "video" && t > 1
            ? `t counts pairs of frames, not seconds: from ${low} to ${high}, ` +
                `and here it is ${start + lens.state.t} for every cell.`
            : `t is ${low} for every token of this picture: it is one moment, ` +
                `and ${low} is the first position that was free before it.`;
        }
        const what =
          name === "h" ? `${lens.count(h, "row")}, top to bottom` : `${lens.count(w, "column")}, left to right`;
        return (
          `${name} counts the ${what}: from ${low} to ${high}. It begins at ${start} and not at 0, because positions ` +
          `0 to ${start - 1} stand before the ${lens.word(medium)}.`
        );
      },
      bar(medium) {
        const { low, high } = lens.positionRange(medium);
        return { scale: name, low: String(low), high: String(high), title: `position ${name}` };
      },
      share(medium, token) {
        const { low, high } = lens.positionRange(medium);
        return high > low ? (lens.state.data.position_ids[axis][token] - low) / (high - low) : 0;
      },
    };
  });

  // The marked cells of the step that is shown, with their index inside it.
  lens.marksHere = () => {
    const { overlay, medium, t } = lens.state;
    const [, h, w] = lens.medium().merged_grid;
    return (overlay?.marks || [])
      .filter(mark => mark.medium === medium && Math.floor(mark.index / (h * w)) === t)
      .map(mark => ({ ...mark, index: mark.index % (h * w) }));
  };

  // A dashed ring inside a cell, white with a dark edge.
  function ring(c, x, y, box) {
    const radius = Math.max(3, (FACTOR * box.scale) / 2 - 3);
    c.save();
    c.setLineDash([4, 3]);
    for (const [width, colour] of [
      [4, "rgba(10,10,14,.85)"],
      [1.8, "#ffffff"],
    ]) {
      c.lineWidth = width;
      c.strokeStyle = colour;
      c.beginPath();
      c.arc(x, y, radius, 0, 2 * Math.PI);
      c.stroke();
    }
    c.restore();
  }

  layers.attention = {
    paint(c, box) {
      const values = lens.state.overlay?.media[lens.state.medium];
      const [, h, w] = box.medium.merged_grid;
      picture(c, box);
      if (!values) return;
      const start = lens.state.t * h * w;
      heat(
        c,
        box,
        i => values[start + i] / 255,
        "night",
        share => 0.86 * (1 - share), // what was looked at keeps its colours, the rest lies in the dark
      );
      lines(c, box, FACTOR, 0.2);
      for (const { index } of lens.marksHere())
        ring(c, ((index % w) + 0.5) * FACTOR * box.scale, (Math.floor(index / w) + 0.5) * FACTOR * box.scale, box);
    },
    caption(medium) {
      const values = lens.state.overlay?.media[lens.state.medium];
      return values ? lens.state.overlay.caption : `There are no values for this ${lens.word(medium)}.`;
    },
    bar() {
      const [low, high] = lens.state.overlay?.labels || [];
      return { scale: "shade", low, high, title: lens.state.overlay?.name.toLowerCase() };
    },
    share(medium, token) {
      const values = lens.state.overlay?.media[lens.state.medium];
      return values ? values[token - medium.span[0]] / 255 : null;
    },
  };
})();
