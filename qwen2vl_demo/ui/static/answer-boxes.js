// The boxes of an answer, its words and the tokens in the panel light one another: a name that is pointed at or has the
// focus lights its boxes on the picture above it, and in the panel the merged tokens below them; a box lights its name,
// and a token the boxes that cover it. A click, or Enter, holds the light.
//
// What is where comes from Python (chat/box_links.py) with the rows under the messages. Gradio draws the messages and
// draws them anew whenever it likes, so all of this is put back after each change of the chat. The model's words are
// only ever moved into elements as the text nodes that they are.
(() => {
  const PICTURES = ".bot.message img";
  const LETTERS = /[\p{L}\p{N}]/u;
  const POINT = 14; // px around a point that count as it
  const CHOICES = [
    ["auto", "Auto", "As the model and the numbers tell"],
    ["thousandths", "0 to 1000", "The numbers of boxes run from 0 to 1000"],
    ["pixels", "Pixels", "The numbers of boxes are pixels of the resized picture"],
  ];
  let rows = []; // one for each turn that is shown
  let pointed = null; // what lights: {turn: its number, boxes: [index], by: "chat" | "panel"}
  let held = null; // what goes on to light
  let chosen = null; // the turn whose switch was pressed: it is drawn anew, and gets the focus back
  const decorated = new Map(); // element of a message -> {state, row, layers, names}

  const lens = () => window.qwen2vl.lens;

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // What lights where

  const lit = () => pointed || held;
  const same = (a, b) => a === b || Boolean(a && b && a.turn === b.turn && String(a.boxes) === String(b.boxes));
  const lightsIn = entry => (lit()?.turn === entry.row.number ? lit() : null);

  function point(next) {
    if (same(pointed, next) && pointed?.by === next?.by) return;
    pointed = next;
    show();
  }

  function hold(next) {
    held = same(held, next) ? null : next;
    show();
  }

  function show() {
    for (const entry of decorated.values()) {
      const light = lightsIn(entry);
      const on = box => Boolean(light && light.boxes.includes(box));
      const isHeld = box => Boolean(held && held.turn === entry.row.number && held.boxes.includes(box));
      for (const { pieces, boxes } of entry.names) {
        for (const piece of pieces) piece.classList.toggle("lit", boxes.some(on));
        pieces[0].setAttribute("aria-pressed", String(boxes.every(isHeld)));
      }
      for (const layer of entry.layers) {
        const shown = layer.picture.boxes.filter(({ box }) => on(box));
        layer.root.classList.toggle("lit", shown.length > 0);
        layer.shade.replaceChildren(...(shown.length ? [cover(layer, shown)] : []));
        for (const [box, spot] of layer.spots) {
          spot.classList.toggle("lit", on(box));
          spot.setAttribute("aria-pressed", String(isHeld(box)));
        }
      }
    }
    showInPanel();
  }

  // Dims the picture but for the boxes that light.
  function cover(layer, shown) {
    const { width, height } = layer.root.getBoundingClientRect();
    const holes = shown.flatMap(({ sides, other }) =>
      [sides, ...(other ? [other] : [])].map(([x1, y1, x2, y2]) => {
        const [w, h] = [(x2 - x1) * width, (y2 - y1) * height];
        const reach = w < 1 && h < 1 ? POINT : 0;
        return `M${x1 * width - reach},${y1 * height - reach}h${w + 2 * reach}v${h + 2 * reach}h${-w - 2 * reach}z`;
      }),
    );
    const id = `boxes-${layer.number}`;
    const mask = svg(
      "mask",
      { id, maskUnits: "userSpaceOnUse", x: 0, y: 0, width, height },
      svg("rect", { width, height, fill: "#fff" }),
      ...holes.map(d => svg("path", { d, fill: "#000" })),
    );
    const group = svg("g", {}, mask, svg("rect", { class: "veil", width, height, mask: `url(#${id})` }));
    layer.shade.setAttribute("viewBox", `0 0 ${Math.max(1, width)} ${Math.max(1, height)}`);
    return group;
  }

  // The panel

  // The medium of the prompt in the panel on which a picture's boxes lie: {medium: its index, t}, or null.
  function inPanel(picture) {
    const data = lens()?.state.data;
    if (!data) return null;
    const messages = [...new Set(data.media.map(medium => medium.message))];
    const first = data.media.findIndex(medium => medium.message === messages[picture.group]);
    const index = first + picture.place;
    const medium = first < 0 ? null : data.media[index];
    if (!medium || medium.name !== picture.name || medium.message !== messages[picture.group]) return null;
    if ((medium.kind === "video") !== (picture.seconds !== null)) return null;
    const off = medium.timestamps.map(time => Math.abs(time - (picture.seconds || 0)));
    const frame = off.indexOf(Math.min(...off));
    return { medium: index, t: medium.kind === "video" ? Math.floor(frame / 2) : 0 };
  }

  const isPoint = ([left, top, right, bottom]) => left === right && top === bottom;
  const kindOf = ({ sides }) => (isPoint(sides) ? "Point" : "Box");
  const called = (row, boxes) => {
    const labels = row.boxes.pictures.flatMap(one => one.boxes.filter(({ box }) => boxes.includes(box)));
    const names = [...new Set(labels.map(one => (one.label ? `“${one.label}”` : `${kindOf(one)} ${one.box + 1}`)))];
    return names.slice(0, 3).join(", ") + (names.length > 3 ? " …" : "");
  };

  let told = ""; // what was last said to the panel
  function showInPanel() {
    if (!lens()?.light) return;
    const light = lit()?.by === "panel" ? null : lit();
    const row = light && rows.find(one => one.number === light.turn);
    let next = null;
    for (const picture of row?.boxes?.pictures || []) {
      const place = inPanel(picture);
      const boxes = picture.boxes.filter(({ box }) => light.boxes.includes(box));
      if (!place || !boxes.length || next) continue;
      const others = boxes.flatMap(({ other }) => (other ? [other] : []));
      next = { ...place, name: called(row, light.boxes), boxes: boxes.map(({ sides }) => sides), others };
    }
    if (JSON.stringify(next) === told) return;
    told = JSON.stringify(next);
    lens().light(next);
  }

  // The boxes that cover the token that is pointed at in the panel.
  function fromPanel() {
    const { at, data } = lens().state;
    const place = at && data?.place(at.token);
    if (!place) return pointed?.by === "panel" && point(null);
    const medium = data.media[place.medium];
    for (const row of [...rows].reverse()) {
      const boxes = (row.boxes?.pictures || []).flatMap(picture => {
        const here = inPanel(picture);
        if (!here || here.medium !== place.medium || here.t !== place.t) return [];
        const covers = sides => {
          const block = lens().covered(medium, sides);
          const [down, across] = [place.row - block.row, place.column - block.column];
          return down >= 0 && across >= 0 && down < block.rows && across < block.columns;
        };
        return picture.boxes.filter(({ sides, other }) => covers(sides) || (other && covers(other)));
      });
      if (boxes.length) return point({ turn: row.number, boxes: boxes.map(({ box }) => box), by: "panel" });
    }
    if (pointed?.by === "panel") point(null);
  }

  // Names in the words

  // The letters and digits of a bubble, each with its text node and its place there; formulas and buttons left out.
  function lettersOf(bubble) {
    const found = { text: "", nodes: [], offsets: [] };
    const walker = document.createTreeWalker(bubble, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, node =>
      node.nodeType === Node.ELEMENT_NODE
        ? node.matches(".katex, button, svg, style, .box-layer, .box-units")
          ? NodeFilter.FILTER_REJECT
          : NodeFilter.FILTER_SKIP
        : NodeFilter.FILTER_ACCEPT,
    );
    while (walker.nextNode()) {
      const node = walker.currentNode;
      let offset = 0;
      for (const letter of node.data) {
        if (LETTERS.test(letter)) {
          found.text += letter;
          for (let unit = 0; unit < letter.length; unit++) {
            found.nodes.push(node);
            found.offsets.push(offset + unit);
          }
        }
        offset += letter.length;
      }
    }
    return found;
  }

  // Where the nth of equal texts begins; the last one, if there are fewer.
  function nthIn(text, wanted, nth) {
    let [at, last] = [text.indexOf(wanted), -1];
    for (let n = 0; at >= 0; n++, at = text.indexOf(wanted, at + wanted.length)) {
      last = at;
      if (n === nth) break;
    }
    return last;
  }

  // Puts the letters from `start` on into elements, one for each text node that they stand in.
  function wrap(letters, start, length) {
    const pieces = [];
    for (let at = start; at < start + length;) {
      const node = letters.nodes[at];
      let end = at;
      while (end + 1 < start + length && letters.nodes[end + 1] === node) end++;
      const range = document.createRange();
      range.setStart(node, letters.offsets[at]);
      range.setEnd(node, letters.offsets[end] + 1);
      pieces.push([range, node]);
      at = end + 1;
    }
    return pieces.map(([range]) => {
      const piece = make("span", { class: "box-name" });
      range.surroundContents(piece);
      return piece;
    });
  }

  function nameBoxes(bubble, row) {
    const colours = new Map(row.boxes.pictures.flatMap(one => one.boxes.map(({ box, colour }) => [box, colour])));
    const letters = lettersOf(bubble);
    const places = row.boxes.names
      .map(name => ({ ...name, start: nthIn(letters.text, name.text, name.nth) }))
      .filter(({ start }) => start >= 0)
      .sort((a, b) => b.start - a.start); // from the end, so that the places before stay what they are
    const names = [];
    let free = Infinity;
    for (const { start, text, boxes } of places) {
      if (start + text.length > free) continue;
      free = start;
      const pieces = wrap(letters, start, text.length);
      const whole = document.createRange();
      whole.setStartBefore(pieces[0]);
      whole.setEndAfter(pieces.at(-1));
      const many = boxes.length > 1 ? `its ${boxes.length} boxes` : "its box";
      pieces.forEach(piece => piece.style.setProperty("--box", colours.get(boxes[0])));
      for (const [name, value] of Object.entries({ role: "button", tabindex: "0", "aria-pressed": "false" }))
        pieces[0].setAttribute(name, value);
      pieces[0].setAttribute("aria-label", `${whole}: ${many} on the picture`);
      names.push({ pieces, boxes });
    }
    return names.reverse();
  }

  // Boxes on the picture

  let layers = 0;
  function layerOn(image, picture, row) {
    const shade = svg("svg", { "aria-hidden": "true" });
    const root = make("div", { class: "box-layer", role: "group", "aria-label": `Boxes on ${picture.name}` }, shade);
    const spots = new Map();
    picture.boxes.forEach((one, place) => {
      const { box, label, colour, sides, other } = one;
      const name = label ? `${kindOf(one)}: ${label}` : `${kindOf(one)} ${box + 1}`;
      const tabindex = place ? "-1" : "0";
      const spot = make("span", { role: "button", tabindex, "aria-pressed": "false", "aria-label": name });
      for (const [kind, at] of [
        ["solid", sides],
        ["dashed", other],
      ]) {
        if (!at) continue;
        const frame = make("i", { class: isPoint(sides) ? `${kind} point` : kind });
        Object.assign(frame.style, {
          left: `${100 * at[0]}%`,
          top: `${100 * at[1]}%`,
          width: `${100 * (at[2] - at[0])}%`,
          height: `${100 * (at[3] - at[1])}%`,
        });
        spot.append(frame);
      }
      spot.style.setProperty("--box", colour);
      spot.addEventListener("click", () => hold({ turn: row.number, boxes: [box], by: "chat" }));
      spot.addEventListener("focus", () => {
        for (const one of spots.values()) one.tabIndex = one === spot ? 0 : -1;
      });
      spots.set(box, spot);
      root.append(spot);
    });
    return { root, shade, spots, image, picture, number: ++layers };
  }

  function place({ root, image }) {
    const around = root.offsetParent?.getBoundingClientRect();
    const box = image.getBoundingClientRect();
    root.hidden = !box.width;
    if (!around || !box.width) return;
    Object.assign(root.style, {
      left: `${box.left - around.left}px`,
      top: `${box.top - around.top}px`,
      width: `${box.width}px`,
      height: `${box.height}px`,
    });
  }

  // The box of a picture that is under the pointer, the smallest if there are several; null for none.
  function boxUnder({ image, picture }, event) {
    const around = image.getBoundingClientRect();
    const [x, y] = [(event.clientX - around.left) / around.width, (event.clientY - around.top) / around.height];
    let best = null;
    for (const { box, sides, other } of picture.boxes) {
      for (const at of other ? [sides, other] : [sides]) {
        const [dx, dy] = isPoint(at) ? [POINT / around.width, POINT / around.height] : [0, 0];
        const area = (at[2] - at[0]) * (at[3] - at[1]);
        const inside = x >= at[0] - dx && x <= at[2] + dx && y >= at[1] - dy && y <= at[3] + dy;
        if (inside && (!best || area < best.area)) best = { box, area };
      }
    }
    return best && best.box;
  }

  // How coordinates are read

  function switchOf(row) {
    const { choice, doubtful, note } = row.boxes.units;
    const buttons = CHOICES.map(([units, label, hint]) => {
      const pressed = String(units === choice);
      const button = make("button", { type: "button", "aria-pressed": pressed, title: hint }, label);
      button.addEventListener("click", () => {
        chosen = { turn: row.number, units };
        window.qwen2vl.act?.({ do: "units", turn: row.number, units });
      });
      button.dataset.units = units;
      return button;
    });
    const group = make("span", { role: "group", "aria-label": "How the numbers of boxes are read" }, ...buttons);
    const root = make("div", { class: "box-units" }, make("p", {}, note), group);
    root.classList.toggle("doubtful", doubtful);
    return root;
  }

  // Putting it all into the messages

  function undo(message, entry) {
    for (const { root, image } of entry.layers) {
      root.remove();
      sizes.unobserve(image);
    }
    entry.units?.remove();
    for (const { pieces } of entry.names)
      for (const piece of pieces) {
        const { parentNode } = piece;
        piece.replaceWith(...piece.childNodes);
        parentNode?.normalize();
      }
    decorated.delete(message);
  }

  // The words of an answer are the last part of its message; captions of its pictures stand before.
  const wordsOf = message => [...message.querySelectorAll("[data-testid=bot]")].at(-1);
  const stands = (message, { layers, names, units, words }) =>
    wordsOf(message)?.textContent === words &&
    layers.every(({ root, image }) => root.isConnected && image.isConnected && message.contains(image)) &&
    names.every(({ pieces }) => pieces.every(piece => piece.isConnected)) &&
    (!units || units.isConnected);

  function draw() {
    const messages = [...document.querySelectorAll("#chat .message-row > .flex-wrap")];
    for (const [message, entry] of decorated)
      if (!message.isConnected) {
        undo(message, entry);
      }
    let index = -1;
    let changed = false;
    for (const message of messages) {
      const question = message.parentElement.classList.contains("user-row");
      if (question) index += 1;
      const row = question ? null : rows[index];
      const state = row?.boxes ? JSON.stringify([row.number, row.boxes]) : "";
      const entry = decorated.get(message);
      if (entry && entry.state === state && stands(message, entry)) {
        entry.row = row;
        continue;
      }
      if (entry) undo(message, entry);
      if (!state) continue;
      const images = [...message.querySelectorAll(PICTURES)];
      if (images.length !== row.boxes.pictures.length) continue; // not drawn yet
      changed = true;
      decorate(message, row, state, images);
    }
    if (pointed?.by === "chat" && !rows.some(row => row.number === pointed.turn && row.boxes)) pointed = null;
    if (held && !rows.some(row => row.number === held.turn && row.boxes)) held = null;
    if (changed) show();
    for (const entry of decorated.values()) entry.layers.forEach(place);
  }

  function decorate(message, row, state, images) {
    const bubble = wordsOf(message);
    const words = bubble.textContent;
    const layers = images.map((image, at) => layerOn(image, row.boxes.pictures[at], row));
    const names = nameBoxes(bubble, row);
    const units = row.boxes.units && switchOf(row);
    message.append(...layers.map(({ root }) => root));
    if (units) message.insertBefore(units, message.querySelector(":scope > .under"));
    for (const { root, image } of layers) {
      sizes.observe(image);
      root.addEventListener("keydown", event => {
        const all = [...root.querySelectorAll("[role=button]")];
        const to = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!to) return;
        event.preventDefault();
        all[(all.indexOf(document.activeElement) + to + all.length) % all.length].focus();
      });
    }
    decorated.set(message, { state, row, layers, names, units, words });
    if (chosen?.turn === row.number && units) {
      if (document.activeElement === document.body) units.querySelector(`[data-units="${chosen.units}"]`).focus();
      chosen = null;
    }
  }

  // Pointer, focus and keys

  function under(target, event) {
    if (!(target instanceof Element)) return null;
    const message = target.closest("#chat .message-row > .flex-wrap");
    const entry = decorated.get(message);
    if (!entry) return null;
    const light = boxes => ({ turn: entry.row.number, boxes, by: "chat" });
    const name = target.closest(".box-name");
    if (name) return light(entry.names.find(({ pieces }) => pieces.includes(name))?.boxes || []);
    for (const layer of entry.layers) {
      for (const [box, spot] of layer.spots) if (spot === target) return light([box]);
      if (!event || !(layer.image === target || target.contains(layer.image))) continue;
      const box = boxUnder(layer, event);
      if (box !== null) return light([box]);
    }
    return null;
  }

  const focused = () => under(document.activeElement);
  document.addEventListener("pointermove", event => {
    const next = under(event.target, event) || focused();
    if (next || pointed?.by === "chat") point(next);
  });
  document.documentElement.addEventListener("pointerleave", () => pointed?.by === "chat" && point(focused()));
  document.addEventListener("focusin", event => {
    const next = under(event.target);
    if (next) point(next);
  });
  document.addEventListener("focusout", () => pointed?.by === "chat" && point(null));
  document.addEventListener("click", event => {
    const name = event.target instanceof Element && event.target.closest("#chat .box-name");
    if (name && !getSelection().toString()) hold(under(name));
  });
  document.addEventListener("keydown", event => {
    if (!(event.target instanceof Element) || !event.target.closest("#chat .box-name, #chat .box-layer")) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      hold(under(event.target));
    } else if (event.key === "Escape" && held) hold(held);
  });

  const sizes = new ResizeObserver(() => {
    for (const entry of decorated.values()) entry.layers.forEach(place);
  });
  function drawBoxes(json) {
    rows = JSON.parse(json);
    draw();
  }
  Object.assign((window.qwen2vl ||= {}), { drawBoxes });

  let due = false;
  const later = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      draw();
    });
  };
  const watch = () => {
    const chat = document.querySelector("#chat");
    if (!chat || !lens()?.on) return setTimeout(watch, 50);
    new MutationObserver(later).observe(chat, { childList: true, subtree: true });
    sizes.observe(chat);
    lens().on("change", names => names.has("at") && fromPanel());
    lens().on("data", () => {
      told = "";
      showInPanel();
    });
    draw();
  };
  watch();
})();
