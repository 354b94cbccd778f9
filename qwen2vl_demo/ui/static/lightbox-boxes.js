// The boxes of an answer on its picture in the lightbox: drawn over the picture without boxes, so that they can be
// switched off and lines and labels stay as thick and as sharp at any zoom; and a list of their names, which light them
// as the words of the answer do (answer-boxes.js).
(() => {
  const GAP = 3; // px between a box and its label
  const EDGE = 6; // px that labels keep from the edges of the window
  const AROUND = 0.2; // what it costs to cover all of a box that has the named one in it; of another box it is 1
  const LATER = 1e-4; // and that a place is further down the list
  const page = () => window.qwen2vl;
  const make = (...parts) => page().lens.el(...parts);

  let dialog = null;
  let picture = null;
  let button = null; // switches the boxes
  let chips = null; // the names
  let on = true;
  // {boxed: address with boxes, plain: without, layer, labels: [{root, one, size}], entry: as in answer-boxes.js}
  let shown = null;

  // Draws what belongs to the boxes into the lightbox, once; the switch, for its bar.
  function build(lightbox, image) {
    [dialog, picture] = [lightbox, image];
    button = make("button", { type: "button", title: "Show or hide the boxes (B)" }, "Boxes");
    button.addEventListener("click", toggle);
    chips = make("div", { class: "box-chips", role: "toolbar", "aria-label": "Boxes on this picture" });
    chips.addEventListener("keydown", walk);
    dialog.append(chips);
    picture.addEventListener("load", loaded);
    picture.addEventListener("error", gone);
    addEventListener("resize", place);
    return button;
  }

  // A picture of the chat is shown; without boxes, or null, there is nothing to draw.
  function show(image) {
    shown?.layer.root.remove();
    for (const { root } of shown?.labels || []) root.remove();
    shown = null;
    const found = image && page().boxesOn(image);
    button.hidden = chips.hidden = !found?.picture.plain;
    if (!found?.picture.plain) {
      dialog.classList.remove("with-boxes");
      page().drawLarge(null);
      return;
    }
    const boxed = picture.src;
    const layer = page().boxLayers.layerOn(picture, found.picture, page().marking.area);
    layer.root.setAttribute("aria-hidden", "true"); // the names stand for the boxes
    for (const spot of layer.spots.values()) spot.removeAttribute("tabindex");
    const labels = found.picture.boxes.map(one => ({ one, root: labelOf(one) }));
    const names = chipsOf(found.picture);
    for (const { pieces, boxes } of names)
      pieces.push(...labels.filter(({ one }) => boxes.includes(one.box)).map(({ root }) => root));
    picture.after(layer.root, ...labels.map(({ root }) => root));
    shown = { boxed, plain: boxed.replace(/[0-9a-f]{64}\.[^/%]*$/, found.picture.plain), layer, labels };
    shown.entry = { row: found.row, layers: [layer], names };
    update();
  }

  function toggle() {
    if (!shown) return;
    on = !on;
    update();
  }

  function update() {
    picture.src = shown.plain;
    button.setAttribute("aria-pressed", on);
    dialog.classList.toggle("with-boxes", on);
    chips.hidden = !on;
    for (const { root } of shown.labels) root.hidden = !on;
    for (const label of shown.labels) label.size = on ? [label.root.offsetWidth, label.root.offsetHeight] : [0, 0];
    page().marking.place();
    loaded();
  }

  // What lights can be drawn now that the picture has its place.
  function loaded() {
    place();
    if (shown) page().drawLarge(shown.entry);
  }

  // The file without boxes is gone: the one that the chat shows does as well.
  function gone() {
    if (!shown || picture.src !== shown.plain) return;
    picture.src = shown.boxed;
    show(null);
  }

  const nameOf = one => one.label || `${page().boxLayers.kindOf(one)} ${one.box + 1}`;

  function labelOf(one) {
    const root = make("span", { class: "box-label", "aria-hidden": "true" }, one.label || String(one.box + 1));
    Object.assign(root.style, { background: one.colour, color: inkOn(one.colour) });
    return root;
  }

  // One for each name: [{pieces: [its element], boxes: [index]}]
  function chipsOf({ boxes }) {
    const named = new Map();
    for (const one of boxes) named.set(nameOf(one), [...(named.get(nameOf(one)) || []), one]);
    const names = [...named].map(([name, all], place) => {
      const times = all.length > 1 ? ` × ${all.length}` : "";
      const chip = make(
        "button",
        { type: "button", class: "box-chip", "aria-pressed": "false", tabindex: place ? "-1" : "0" },
        `${name}${times}`,
      );
      chip.style.setProperty("--box", all[0].colour);
      return { pieces: [chip], boxes: all.map(({ box }) => box) };
    });
    chips.replaceChildren(...names.map(({ pieces }) => pieces[0]));
    return names;
  }

  function walk(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...chips.children];
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    for (const chip of all) chip.tabIndex = chip === next ? 0 : -1;
    next.focus();
  }

  // Black or white, whichever contrasts more (relative luminance, WCAG 2).
  function inkOn(colour) {
    const [r, g, b] = [1, 3, 5].map(at => {
      const channel = parseInt(colour.slice(at, at + 2), 16) / 255;
      return channel <= 0.03928 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#000" : "#fff";
  }

  // Puts boxes and labels where the picture is now.
  function place() {
    if (!shown || !on || !picture.naturalWidth) return;
    page().boxLayers.place(shown.layer);
    const { left, top, width, height } = page().marking.area();
    const rect = ([x1, y1, x2, y2]) => {
      const reach = x1 === x2 && y1 === y2 ? 15 : 2; // a point has a ring, a box half its line
      return [
        left + x1 * width - reach,
        top + y1 * height - reach,
        left + x2 * width + reach,
        top + y2 * height + reach,
      ];
    };
    const boxes = shown.labels.map(({ one }) => [one.sides, ...(one.other ? [one.other] : [])].map(rect));
    const below = dialog.querySelector(":scope > .tools:not([hidden])") || dialog.querySelector(":scope > .bar");
    const bottom = below.getBoundingClientRect().top - EDGE;
    const frame = [EDGE, chips.offsetHeight + 2 * EDGE, dialog.clientWidth - EDGE, bottom];
    const placed = [];
    const area = ([[x1, y1, x2, y2]]) => (x2 - x1) * (y2 - y1);
    const smallFirst = [...boxes.keys()].sort((a, b) => area(boxes[a]) - area(boxes[b]));
    smallFirst.forEach(index => {
      const { root, size } = shown.labels[index];
      const at = size && freePlace(boxes, index, size, frame, placed);
      root.hidden = !at;
      if (!at) return;
      placed.push(at);
      Object.assign(root.style, { left: `${at[0]}px`, top: `${at[1]}px` });
    });
  }

  const shared = (a, b) =>
    Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const around = (a, b) => a[0] <= b[0] && a[1] <= b[1] && a[2] >= b[2] && a[3] >= b[3];

  // The place beside a box, within `frame`, that hides least of the others: never what it names, and no other label.
  // null where there is none: all of the window is in the box, or the box is out of it.
  function freePlace(boxes, index, [width, height], frame, placed) {
    const [own, ...other] = boxes[index];
    if (!shared(own, frame)) return null;
    const [above, below, before, behind] = [own[1] - GAP - height, own[3] + GAP, own[0] - GAP - width, own[2] + GAP];
    const [first, last, high, low] = [own[0], own[2] - width, own[1], own[3] - height];
    const places = [
      ...[above, below].flatMap(y => [first, last, (first + last) / 2].map(x => [x, y])),
      ...[behind, before].flatMap(x => [high, low, (high + low) / 2].map(y => [x, y])),
      ...[above, below].flatMap(y => [behind, before].map(x => [x, y])),
      ...[above - height - GAP, below + height + GAP].flatMap(y => [first, last].map(x => [x, y])),
    ];
    let best = null;
    places.forEach(([x, y], nth) => {
      const left = Math.max(frame[0], Math.min(frame[2] - width, x));
      const top = Math.max(frame[1], Math.min(frame[3] - height, y));
      const tag = [left, top, left + width, top + height];
      if ([own, ...other, ...placed].some(rect => shared(tag, rect))) return;
      let cost = nth * LATER;
      boxes.forEach(([box], at) => {
        const hidden = at === index ? 0 : shared(tag, box);
        if (hidden) cost += ((around(box, own) ? AROUND : 1) * hidden) / ((box[2] - box[0]) * (box[3] - box[1]));
      });
      if (!best || cost < best.cost) best = { tag, cost };
    });
    return best && best.tag;
  }

  Object.assign((window.qwen2vl ||= {}), { largeBoxes: { build, show, toggle, place } });
})();
