// The positions of all tokens: t, h and w over the index in the prompt, and for comparison plain 1-D positions. Drag to
// move; pinch or use the buttons to zoom.
(() => {
  const lens = window.qwen2vl.lens;
  const HEIGHT = 300;
  const LEFT = 52;
  const RIGHT = 14;
  const TOP = 34;
  const BOTTOM = 34;
  const CLOSEST = 8; // tokens in view at the highest zoom
  const DASHES = { t: [], h: [7, 3], w: [2, 3] };

  const nice = (low, high, wanted) => {
    const rough = Math.max(1, (high - low) / wanted);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = Math.max(1, [1, 2, 5, 10].find(k => k * power >= rough) * power);
    const ticks = [];
    for (let v = Math.ceil(low / step) * step; v <= high; v += step) ticks.push(v);
    return ticks;
  };

  // The indices of first..last to draw: all if they fit, else the first, lowest, highest and last of each of `columns`
  // intervals, so that no peak is lost.
  lens.envelope = (axis, first, last, columns) => {
    const count = last - first + 1;
    const all = count <= 4 * columns;
    const places = [];
    for (let k = 0; k < (all ? count : columns); k++) {
      if (all) {
        places.push(first + k);
        continue;
      }
      const start = first + Math.floor((k * count) / columns);
      const end = first + Math.floor(((k + 1) * count) / columns) - 1;
      let low = start;
      let high = start;
      for (let i = start; i <= end; i++) {
        if (axis[i] < axis[low]) low = i;
        if (axis[i] > axis[high]) high = i;
      }
      places.push(...[...new Set([start, low, high, end])].sort((a, b) => a - b));
    }
    return places;
  };

  lens.views.plot = () => {
    const canvas = lens.el("canvas", { "aria-hidden": "true" });
    const back = document.createElement("canvas");
    const whole = lens.el("input", {
      type: "checkbox",
      onchange: () => {
        stale = true;
        draw();
      },
    });
    const tool = (text, label, act) =>
      lens.el("button", { type: "button", class: "lens-round", "aria-label": label, title: label, onclick: act }, text);
    const tools = lens.el(
      "div",
      { class: "lens-player lens-plot-tools" },
      lens.AXES.map(name =>
        lens.el("span", { class: `lens-axis lens-axis-${name}` }, `${lens.AXIS_NAMES[name]} ${name}`),
      ),
      lens.el("span", { class: "lens-dashed" }, "plain 1-D"),
      lens.el("label", { class: "lens-check" }, whole, "show all of it"),
      lens.el("span", { class: "lens-space" }),
      lens.el(
        "span",
        { class: "lens-player" },
        tool("−", "Zoom out", () => zoom(2)),
        tool("+", "Zoom in", () => zoom(0.5)),
        lens.el(
          "button",
          {
            type: "button",
            class: "lens-quiet",
            onclick: () => {
              view = null;
              stale = true;
              draw();
            },
          },
          "Whole prompt",
        ),
      ),
    );
    const area = lens.el(
      "div",
      {
        class: "lens-plot",
        tabindex: "0",
        role: "application",
        "aria-label": "Positions of the tokens. Plus and minus zoom, arrow keys move.",
      },
      canvas,
    );
    const readout = lens.el("p", { class: "lens-hint", role: "status" });
    const root = lens.el("div", {}, tools, area, readout);
    let view = null;
    let stale = true;
    let width = 0;
    let top = 1;

    const window_ = data => view || [0, data.length];
    const xOf = (data, i) => {
      const [a, b] = window_(data);
      return LEFT + ((i - a) / (b - a)) * (width - LEFT - RIGHT);
    };
    const iOf = (data, x) => {
      const [a, b] = window_(data);
      return a + ((x - LEFT) / (width - LEFT - RIGHT)) * (b - a);
    };
    const yOf = value => TOP + (1 - (value - floor) / Math.max(1, top - floor)) * (HEIGHT - TOP - BOTTOM);
    let floor = 0;

    function zoom(by, middle) {
      const { data } = lens.state;
      if (!data) return;
      const [a, b] = window_(data);
      const at = middle ?? (lens.state.at ? lens.state.at.token : (a + b) / 2);
      const size = Math.min(data.length, Math.max(Math.min(CLOSEST, data.length), (b - a) * by));
      move(at - ((at - a) / (b - a)) * size, size);
    }
    function move(start, size) {
      const { data } = lens.state;
      const a = Math.max(0, Math.min(data.length - size, start));
      view = size >= data.length ? null : [a, a + size];
      stale = true;
      draw();
    }

    function paint(c, data, colours) {
      const [a, b] = window_(data);
      const first = Math.floor(a);
      const last = Math.min(data.length - 1, Math.ceil(b));
      const axes = data.position_ids;
      floor = Infinity;
      top = 0;
      for (const axis of axes)
        for (let i = first; i <= last; i++) {
          floor = Math.min(floor, axis[i]);
          top = Math.max(top, axis[i]);
        }
      if (whole.checked) {
        floor = Math.min(floor, first);
        top = Math.max(top, last);
      } else top += Math.max(1, (top - floor) * 0.12);
      if (!view) floor = 0;
      c.clearRect(0, 0, width, HEIGHT);
      c.font = `11px ${colours.mono}`;
      c.textBaseline = "middle";
      c.lineWidth = 1;
      for (const v of nice(floor, top, 5)) {
        const y = yOf(v);
        c.strokeStyle = colours.line;
        c.beginPath();
        c.moveTo(LEFT, y);
        c.lineTo(width - RIGHT, y);
        c.stroke();
        c.fillStyle = colours.soft;
        c.textAlign = "right";
        c.fillText(lens.number(v), LEFT - 7, y);
      }
      c.textAlign = "center";
      for (const v of nice(a, b - 1, width / 110)) {
        c.fillStyle = colours.soft;
        c.fillText(lens.number(v), xOf(data, v + 0.5), HEIGHT - BOTTOM + 14);
      }
      c.fillText("place in the prompt", (LEFT + width - RIGHT) / 2, HEIGHT - 7);
      data.media.forEach(medium => {
        const x0 = Math.max(LEFT, xOf(data, medium.span[0]));
        const x1 = Math.min(width - RIGHT, xOf(data, medium.span[1]));
        if (x1 <= x0) return;
        c.globalAlpha = 0.13;
        c.fillStyle = colours.vision;
        c.fillRect(x0, TOP, x1 - x0, HEIGHT - TOP - BOTTOM);
        c.globalAlpha = 1;
        if (x1 - x0 > 22) {
          const [h, w] = medium.resized_size;
          const k = 24 / Math.max(h, w);
          lens.drawFrame(c, medium, 0, x0, 4, w * k, h * k);
          c.textAlign = "left";
          c.fillStyle = colours.soft;
          c.font = `12px ${colours.font}`;
          if (x1 - x0 > 80) c.fillText(medium.name, x0 + 30, 16, x1 - x0 - 32);
          c.font = `11px ${colours.mono}`;
        }
      });
      c.save();
      c.beginPath();
      c.rect(LEFT, TOP - 4, width - LEFT - RIGHT, HEIGHT - TOP - BOTTOM + 8);
      c.clip();
      c.strokeStyle = colours.soft;
      c.lineWidth = 1.5;
      c.setLineDash([4, 4]);
      c.beginPath();
      c.moveTo(xOf(data, first + 0.5), yOf(first));
      c.lineTo(xOf(data, last + 0.5), yOf(last));
      c.stroke();
      lens.AXES.forEach((name, axis) => line(c, data, axes[axis], first, last, colours[name], DASHES[name], name));
      c.restore();
      c.setLineDash([]);
      if (!view) saving(c, data, colours);
      if (b - a <= 60) pieces(c, data, first, last, colours);
    }

    // The difference between plain counting and the last position of the prompt.
    function saving(c, data, colours) {
      const saved = data.length - 1 - data.largest;
      const y0 = yOf(data.length - 1);
      const y1 = yOf(data.largest);
      const x = xOf(data, data.length - 0.5) - 3;
      if (saved < 1 || y1 - y0 < 40) return;
      if (y0 < TOP) {
        // plain counting leaves the figure: write its last position
        const at = top;
        const gone = Math.min(xOf(data, at), x - 10);
        c.fillStyle = colours.soft;
        c.font = `12px ${colours.font}`;
        c.textBaseline = "middle";
        const words = `plain 1-D goes on to ${lens.number(data.length - 1)}`;
        const room = c.measureText(words).width + 12;
        c.textAlign = gone + room < width - RIGHT ? "left" : "right";
        c.fillText(words, gone + (c.textAlign === "left" ? 8 : -8), TOP + 8);
        c.font = `11px ${colours.mono}`;
        return;
      }
      c.strokeStyle = c.fillStyle = colours.ink;
      c.lineWidth = 1.5;
      c.beginPath();
      c.moveTo(x, y0 + 8);
      c.lineTo(x, y1 - 8);
      for (const [y, way] of [
        [y0 + 8, 5],
        [y1 - 8, -5],
      ]) {
        c.moveTo(x - 4, y + way);
        c.lineTo(x, y);
        c.lineTo(x + 4, y + way);
      }
      c.stroke();
      c.textAlign = "right";
      c.font = `600 13px ${colours.font}`;
      c.fillText(`${lens.number(saved)} saved`, x - 9, (y0 + y1) / 2);
      c.font = `11px ${colours.mono}`;
    }

    // One axis: a point for each token if they fit, else the range of each pixel column.
    function line(c, data, axis, first, last, colour, dash, name) {
      c.strokeStyle = c.fillStyle = colour;
      c.lineWidth = { t: 2.6, h: 2, w: 1.6 }[name];
      c.setLineDash(dash.map(d => (last - first > 400 ? 0 : d)).filter(Boolean));
      c.beginPath();
      for (const i of lens.envelope(axis, first, last, Math.round(width - LEFT - RIGHT)))
        c.lineTo(xOf(data, i + 0.5), yOf(axis[i]));
      c.stroke();
      if (xOf(data, 1) - xOf(data, 0) < 7) return;
      c.setLineDash([]);
      for (let i = first; i <= last; i++) marker(c, name, xOf(data, i + 0.5), yOf(axis[i]));
    }
    function marker(c, name, x, y) {
      c.beginPath();
      if (name === "t") c.arc(x, y, 3.6, 0, 7);
      else if (name === "h") c.rect(x - 3, y - 3, 6, 6);
      else {
        c.moveTo(x, y - 4.4);
        c.lineTo(x + 4.4, y);
        c.lineTo(x, y + 4.4);
        c.lineTo(x - 4.4, y);
      }
      c.fill();
    }
    function pieces(c, data, first, last, colours) {
      c.font = `11px ${colours.mono}`;
      c.textAlign = "center";
      for (let i = first; i <= last; i++) {
        if (data.mediumOf[i] >= 0) continue;
        const x = xOf(data, i + 0.5);
        const room = xOf(data, i + 1.5) - x - 2;
        if (x > LEFT && x < width - RIGHT) {
          c.fillStyle = data.special[i] ? colours.special : colours.ink;
          c.fillText(lens.visible(data.tokens[i]), x, HEIGHT - BOTTOM + 1, Math.max(10, room));
        }
      }
    }

    function draw() {
      const { data, at } = lens.state;
      if (!data || !root.offsetParent) return;
      const now = area.clientWidth;
      if (now !== width) {
        width = now;
        stale = true;
      }
      const colours = lens.colours();
      const c = lens.sharp(canvas, width, HEIGHT);
      if (stale) {
        paint(lens.sharp(back, width, HEIGHT), data, colours);
        stale = false;
      }
      c.save();
      c.setTransform(1, 0, 0, 1, 0, 0);
      c.clearRect(0, 0, canvas.width, canvas.height);
      c.drawImage(back, 0, 0);
      c.restore();
      const written = at && lens.state.answer?.tokens[at.token - data.length];
      if (written !== undefined && written !== null) {
        const next = lens.number(at.token + data.rope_delta);
        lens.write(
          readout,
          `Token ${lens.number(at.token)}, “${lens.visible(written)}” of the answer: ` +
            `t ${next}, h ${next}, w ${next}; ` +
            `plain 1-D would be ${lens.number(at.token)}.`,
        );
        return;
      }
      if (!at || at.token >= data.length) {
        lens.write(readout, "Drag to move, pinch or + and − to zoom. Point at a line to read it.");
        return;
      }
      const i = at.token;
      const x = xOf(data, i + 0.5);
      const place = data.place(i);
      const values = data.position_ids.map(axis => axis[i]);
      const piece = place
        ? `${data.media[place.medium].name}, row ${place.row}, column ${place.column}`
        : `“${lens.visible(data.tokens[i])}”`;
      lens.write(
        readout,
        `Token ${lens.number(i)}, ${piece}: t ${values[0]}, h ${values[1]}, w ${values[2]}; ` +
          `plain 1-D would be ${lens.number(i)}.`,
      );
      if (x < LEFT - 1 || x > width - RIGHT + 1) return;
      c.strokeStyle = "#ffd60a";
      c.lineWidth = 2;
      c.beginPath();
      c.moveTo(x, TOP);
      c.lineTo(x, HEIGHT - BOTTOM);
      c.stroke();
      lens.AXES.forEach((name, axis) => {
        c.fillStyle = colours.card;
        c.beginPath();
        c.arc(x, yOf(values[axis]), 6.5, 0, 7);
        c.fill();
        c.fillStyle = colours[name];
        marker(c, name, x, yOf(values[axis]));
      });
    }

    const pointers = new Map();
    let pinched = 0;
    const xIn = event => event.clientX - canvas.getBoundingClientRect().left;
    area.addEventListener("pointerdown", event => {
      pointers.set(event.pointerId, xIn(event));
      area.setPointerCapture(event.pointerId);
    });
    const up = event => {
      pointers.delete(event.pointerId);
      pinched = 0;
    };
    area.addEventListener("pointerup", up);
    area.addEventListener("pointercancel", up);
    area.addEventListener("pointermove", event => {
      const { data } = lens.state;
      if (!data) return;
      const x = xIn(event);
      if (!event.buttons) up(event); // let go outside of the window, of which the page was not told
      if (!pointers.has(event.pointerId)) {
        if (!lens.state.held) lens.point(Math.max(0, Math.min(data.length - 1, Math.floor(iOf(data, x)))));
        return;
      }
      const [a, b] = window_(data);
      if (pointers.size === 2) {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const gap = Math.abs(x - other);
        if (pinched) zoom(pinched / Math.max(10, gap), iOf(data, (x + other) / 2));
        pinched = gap;
      } else move(a - ((x - pointers.get(event.pointerId)) / (width - LEFT - RIGHT)) * (b - a), b - a);
      pointers.set(event.pointerId, x);
    });
    area.addEventListener("pointerleave", () => {
      if (!lens.state.held) lens.set({ at: null });
    });
    area.addEventListener("dblclick", event => zoom(0.4, iOf(lens.state.data, xIn(event))));
    area.addEventListener(
      "wheel",
      event => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        zoom(Math.exp(event.deltaY / 160), iOf(lens.state.data, xIn(event)));
      },
      { passive: false },
    );
    area.addEventListener("keydown", event => {
      const { data } = lens.state;
      if (!data) return;
      const [a, b] = window_(data);
      const act = {
        "+": () => zoom(0.5),
        "=": () => zoom(0.5),
        "-": () => zoom(2),
        0: () => {
          view = null;
          stale = true;
          draw();
        },
        ArrowLeft: () => move(a - (b - a) / 8, b - a),
        ArrowRight: () => move(a + (b - a) / 8, b - a),
      }[event.key];
      if (act) {
        event.preventDefault();
        act();
      }
    });
    lens.on("data", () => {
      view = null;
      stale = true;
    });
    lens.on("change", names => {
      if (["data", "picture", "theme", "size"].some(n => names.has(n))) stale = true;
      draw();
    });
    new ResizeObserver(() => draw()).observe(root);
    root.canvas = canvas;
    return root;
  };
})();
