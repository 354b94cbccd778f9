// Colours: scales that are safe for colour-blind readers, and the page's own colours, read from its style sheet.
(() => {
  const lens = window.qwen2vl.lens;
  // Ten colours of matplotlib's viridis and inferno (CC0), from low to high, with linear interpolation between them.
  const STOPS = {
    viridis: "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725",
    inferno: "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4",
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
  lens.inkOn = rgb => (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 140 ? "#14161b" : "#ffffff");

  lens.AXES = ["t", "h", "w"];
  const NAMES = [
    "ink",
    "soft",
    "line",
    "card",
    "wash",
    "accent",
    "text",
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
