// Colours: scales that are safe for colour-blind readers, and the page's own colours, read from its style sheet.
(() => {
  const lens = window.qwen2vl.lens;
  // From low to high, with linear interpolation between them: each position in its own colour, from pale to deep, and
  // darkness that is lifted.
  const STOPS = {
    t: "fff3e8 ffc799 f58b3c d55e00 7a3300",
    h: "eafaf4 9fdcc5 3dba92 009e73 00523b",
    w: "e9f4fb 9cc8ea 4a9fd6 0072b2 003a5c",
    viridis: "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725", // of matplotlib (CC0)
    shade: "0a0b10 f5f2ec",
    night: "0a0b10 0a0b10",
  };
  const scales = {};
  for (const [name, text] of Object.entries(STOPS)) {
    const hex = text.split(" ").map(c => [0, 2, 4].map(i => parseInt(c.slice(i, i + 2), 16)));
    const table = (scales[name] = new Uint8ClampedArray(256 * 3));
    for (let i = 0; i < 256; i++) {
      const at = (i / 255) * (hex.length - 1);
      const low = Math.floor(at);
      const high = Math.min(low + 1, hex.length - 1);
      for (let c = 0; c < 3; c++) table[3 * i + c] = hex[low][c] + (hex[high][c] - hex[low][c]) * (at - low);
    }
  }
  lens.scales = scales;
  // [r, g, b] of a value between 0 and 1
  lens.scaled = (name, share) => {
    const i = Math.round(Math.max(0, Math.min(1, share)) * 255);
    return scales[name].subarray(3 * i, 3 * i + 3);
  };
  lens.css = rgb => `rgb(${rgb[0]},${rgb[1]},${rgb[2]})`;
  // What a colour looks like that lies with this opacity over a grey picture.
  lens.veiled = (rgb, opacity) => [...rgb].map(value => value * opacity + 205 * (1 - opacity));
  lens.inkOn = rgb => (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 140 ? "#14161b" : "#ffffff");

  lens.AXES = ["t", "h", "w"];
  lens.AXIS_NAMES = { t: "time", h: "row", w: "column" };
  const NAMES = [
    "ink",
    "soft",
    "line",
    "card",
    "wash",
    "accent",
    "text",
    "answer",
    "vision",
    "special",
    "t",
    "h",
    "w",
    "font",
    "mono",
  ];
  let colours = null;
  // The values of the --lens-* variables, read once for each theme.
  lens.colours = () => {
    if (!colours) {
      const style = getComputedStyle(document.querySelector(".lens"));
      colours = Object.fromEntries(NAMES.map(name => [name, style.getPropertyValue(`--lens-${name}`).trim()]));
    }
    return colours;
  };
  document.fonts?.addEventListener("loadingdone", () => forget()); // the width of text has changed
  const forget = () => {
    colours = null;
    lens.redraw("theme");
  };
  new MutationObserver(forget).observe(document.documentElement, {
    attributes: true,
    attributeFilter: ["class", "data-theme"],
  });
  const watchBody = () =>
    new MutationObserver(forget).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  if (document.body) watchBody();
  else document.addEventListener("DOMContentLoaded", watchBody);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", forget);
})();
