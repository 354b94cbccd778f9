// Helpers: elements without innerHTML, so that text is never parsed as HTML, and formatted numbers.
(() => {
  const lens = window.qwen2vl.lens;

  // lens.el("button", {class: "a", onclick: f, "aria-label": "b"}, "text", child, [more children])
  lens.el = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "style" || name in { value: 1, checked: 1 })
        Object.assign(name === "style" ? element.style : element, name === "style" ? value : { [name]: value });
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
    return element;
  };

  // Replaces the children of an element.
  lens.fill = (element, ...children) =>
    element.replaceChildren(
      ...children.flat().filter(child => child !== null && child !== undefined && child !== false),
    );

  // Replaces the text of an element, keeping its text node, so that no MutationObserver of child lists is notified.
  lens.write = (element, text) => {
    const node = element.firstChild;
    if (!node) element.textContent = text;
    else if (node.nodeValue !== text) node.nodeValue = text;
  };

  lens.number = value => Math.round(value).toLocaleString("en");
  lens.count = (value, word) => `${lens.number(value)} ${word}${value === 1 ? "" : word.endsWith("ch") ? "es" : "s"}`;
  lens.word = medium => (medium.kind === "video" ? "clip" : "picture");
  lens.seconds = value => `${value.toFixed(value < 10 ? 2 : 1)} s`;
  lens.range = (first, last) => (first === last ? lens.number(first) : `${lens.number(first)}–${lens.number(last)}`);

  // Text with visible symbols for white space.
  lens.visible = piece => piece.replace(/ /g, "·").replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/\r/g, "␍");

  // Arrow keys focus and press the next button of a row, wrapping around.
  lens.arrows = row =>
    row.addEventListener("keydown", event => {
      const shown = [...row.querySelectorAll("button")].filter(button => !button.hidden);
      const at = shown.indexOf(document.activeElement);
      const last = shown.length - 1;
      const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: last }[
        event.key
      ];
      if (at < 0 || to === undefined) return;
      const next = shown[to < 0 ? last : to > last ? 0 : to];
      event.preventDefault();
      next.focus();
      next.click();
    });

  // A row of buttons, one of which is pressed. choices: [[value, label, title], ...]
  lens.segmented = (label, choices, pick) => {
    const buttons = new Map(
      choices.map(([value, text, title]) => [
        value,
        lens.el(
          "button",
          { type: "button", role: "radio", title, "data-value": value, onclick: () => pick(value) },
          text,
        ),
      ]),
    );
    const row = lens.el("div", { class: "lens-segmented", role: "radiogroup", "aria-label": label }, [
      ...buttons.values(),
    ]);
    lens.arrows(row);
    row.choose = value =>
      buttons.forEach((button, key) => {
        button.setAttribute("aria-checked", key === value);
        button.tabIndex = key === value ? 0 : -1;
      });
    row.button = value => buttons.get(value);
    return row;
  };

  // Whether the panel is expanded to the whole width.
  lens.isWide = () => !document.querySelector("#talk")?.offsetParent;

  // Sets a canvas to the device's resolution; returns its context, which draws in CSS pixels.
  lens.sharp = (canvas, width, height) => {
    const k = Math.min(3, window.devicePixelRatio || 1);
    const W = Math.max(1, Math.round(width * k));
    const H = Math.max(1, Math.round(height * k));
    if (canvas.width !== W) canvas.width = W;
    if (canvas.height !== H) canvas.height = H;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.setTransform(k, 0, 0, k, 0, 0);
    return context;
  };
})();
