// The time line of a clip: a tick for every frame, and a bracket with its t for every pair of sampled frames.
(() => {
  const lens = window.qwen2vl.lens;
  const HEIGHT = (lens.TIMELINE = 58); // px
  const SIDE = 14; // px of margin at both sides
  const TOP = 15; // px, top of the brackets
  const FOOT = 33; // px, their foot and the end of the ticks
  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200]; // seconds between two labels

  // The time at which a frame is shown, in seconds: exact for sampled frames, interpolated between them.
  lens.secondOf = (medium, frame) => {
    const { frame_indices: taken, timestamps } = medium;
    const next = taken.findIndex(index => index >= frame);
    if (next < 0) return timestamps.at(-1);
    if (next === 0 || taken[next] === frame) return timestamps[next];
    const share = (frame - taken[next - 1]) / (taken[next] - taken[next - 1]);
    return timestamps[next - 1] + share * (timestamps[next] - timestamps[next - 1]);
  };

  const clock = (seconds, step) =>
    step < 60
      ? `${Number(seconds.toFixed(1))} s`
      : `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")}`;

  // Draws the time line on a canvas of `width` px; `first` is the t of the first pair.
  lens.timeline = (canvas, medium, width, first) => {
    const c = lens.sharp(canvas, width, HEIGHT);
    const colours = lens.colours();
    const start = medium.timestamps[0];
    const end = medium.timestamps.at(-1);
    const long = Math.max(end - start, 1e-3);
    const x = second => SIDE + ((second - start) / long) * (width - 2 * SIDE);
    c.clearRect(0, 0, width, HEIGHT);
    const { frame_indices: taken } = medium;
    const every = Math.max(1, Math.ceil((taken.at(-1) - taken[0] + 1) / (width / 3)));
    c.strokeStyle = colours.soft;
    c.globalAlpha = 0.45;
    c.lineWidth = 1;
    c.beginPath();
    for (let frame = taken[0]; frame <= taken.at(-1); frame += every) {
      const at = x(lens.secondOf(medium, frame));
      c.moveTo(at, FOOT - 5);
      c.lineTo(at, FOOT);
    }
    c.stroke();
    c.globalAlpha = 1;
    const step = STEPS.find(s => (s / long) * (width - 2 * SIDE) >= 54) || STEPS.at(-1);
    c.font = `11px ${colours.mono}`;
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.fillStyle = c.strokeStyle = colours.soft;
    for (let second = Math.ceil(start / step) * step; second <= end + 1e-6; second += step) {
      c.fillRect(x(second) - 0.5, FOOT, 1, 5);
      c.fillText(clock(second, step), Math.max(12, Math.min(width - 12, x(second))), FOOT + 14);
    }
    let free = -Infinity; // x from which there is room for the next label
    for (let t = 0; t < medium.merged_grid[0]; t++) {
      const [a, b] = [2 * t, 2 * t + 1].map(i => x(medium.timestamps[Math.min(i, medium.timestamps.length - 1)]));
      const chosen = t === lens.state.t;
      c.strokeStyle = c.fillStyle = colours.t;
      c.lineWidth = chosen ? 3 : 1.5;
      c.beginPath();
      c.moveTo(a, FOOT);
      c.lineTo(a, TOP);
      c.lineTo(b, TOP);
      c.lineTo(b, FOOT);
      c.stroke();
      const words = `t ${first + t}`;
      const wide = c.measureText(words).width;
      const middle = Math.max(wide / 2, Math.min(width - wide / 2, (a + b) / 2));
      if (middle - wide / 2 < free) continue;
      c.fillText(words, middle, TOP - 8);
      free = middle + wide / 2 + 6;
    }
  };
})();
