// Saves the figures of a tab as one PNG: every plot, diagram and compared picture, each below the text that
// precedes it on the page. Drawn from the page's own elements, without a request to the server.
(() => {
  const KINDS = "h4, .lens-says, .bands-angles, .cost-views, .js-plotly-plot, .variants-card h5, .variants-card canvas";
  const SVG = ["fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-linecap", "font"];
  const SHARP = 2;
  const PAD = 16;
  const WORDS = { H4: "700 15px", H5: "700 14px", P: "14px" };

  const loaded = source =>
    new Promise((done, failed) => {
      const image = new Image();
      image.onload = () => done(image);
      image.onerror = failed;
      image.src = source;
    });
  const boxOf = element => element.getBoundingClientRect();

  // An SVG element as an image, with its computed colours written into it: style sheets do not apply in an image.
  function drawn(svg) {
    const copy = svg.cloneNode(true);
    const originals = svg.querySelectorAll("*");
    const { width, height } = boxOf(svg);
    copy.querySelectorAll("*").forEach((part, i) => {
      const style = getComputedStyle(originals[i]);
      for (const name of SVG) part.style.setProperty(name, style.getPropertyValue(name));
    });
    for (const [name, value] of [
      ["xmlns", "http://www.w3.org/2000/svg"],
      ["width", width * SHARP],
      ["height", height * SHARP],
    ])
      copy.setAttribute(name, value);
    return loaded(`data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`);
  }

  // A plot, laid out again in the system font: an image cannot load the page's font, and the legend must fit its text.
  async function plotted({ data, layout }, width, height) {
    const font = { ...layout.font, family: "system-ui, sans-serif" };
    return loaded(
      await window.Plotly.toImage(
        { data, layout: { ...layout, font } },
        { format: "png", width, height, scale: SHARP },
      ),
    );
  }

  // The compared pictures as the page shows them, enlarged without smoothing, with their captions.
  function compared(c, views, left, top, lens) {
    const whole = boxOf(views);
    const colours = lens.colours();
    for (const view of views.querySelectorAll(".cost-view")) {
      const frame = boxOf(view);
      const image = view.querySelector("img");
      const at = boxOf(image);
      const x = left + frame.left - whole.left;
      const y = top + frame.top - whole.top;
      c.save();
      c.beginPath();
      c.rect(x, y, frame.width, frame.height);
      c.clip();
      c.imageSmoothingEnabled = false;
      c.drawImage(image, x + at.left - frame.left, y + at.top - frame.top, at.width, at.height);
      c.restore();
      const caption = view.parentElement.querySelector("figcaption");
      c.fillStyle = colours.ink;
      c.font = `12.5px ${colours.font}`;
      const below = top + boxOf(caption).top - whole.top;
      caption.innerText
        .split("\n")
        .flatMap(line => lens.wrapped(c, line, frame.width))
        .forEach((line, i) => c.fillText(line, x, below + 17 * i));
    }
  }

  // One element of the tab: {height, draw(x, y)}.
  async function piece(c, element, width, lens) {
    if (element.matches("h4, h5, p")) {
      const colours = lens.colours();
      const font = `${WORDS[element.tagName]} ${colours.font}`;
      c.font = font;
      const lines = lens.wrapped(c, element.innerText, width);
      return {
        height: lines.length * 21,
        draw: (x, y) => {
          c.fillStyle = colours.ink;
          c.font = font;
          lines.forEach((line, i) => c.fillText(line, x, y + 21 * i));
        },
      };
    }
    const { width: wide, height } = boxOf(element);
    if (element.matches(".cost-views")) return { height, draw: (x, y) => compared(c, element, x, y, lens) };
    const image = element.matches("canvas")
      ? element
      : await (element.matches("svg") ? drawn(element) : plotted(element, wide, height));
    return { height, draw: (x, y) => c.drawImage(image, x, y, wide, height) };
  }

  async function keepFigures(id, name) {
    const tab = document.getElementById(id);
    const { lens } = window.qwen2vl;
    const canvas = document.createElement("canvas");
    const c = canvas.getContext("2d");
    const shown = [...tab.querySelectorAll(KINDS)].filter(element => element.checkVisibility());
    const width = tab.clientWidth;
    const pieces = [];
    for (const element of shown) pieces.push(await piece(c, element, width, lens));
    canvas.width = (width + 2 * PAD) * SHARP;
    canvas.height = (pieces.reduce((sum, each) => sum + each.height + PAD, 0) + PAD) * SHARP;
    c.scale(SHARP, SHARP);
    c.fillStyle = lens.colours().card;
    c.fillRect(0, 0, canvas.width, canvas.height);
    c.textBaseline = "top";
    pieces.reduce((y, each) => {
      each.draw(PAD, y);
      return y + each.height + PAD;
    }, PAD);
    canvas.toBlob(blob => lens.save(blob, "image/png", `${name.toLowerCase()}.png`));
  }

  Object.assign((window.qwen2vl ||= {}), { keepFigures });
})();
