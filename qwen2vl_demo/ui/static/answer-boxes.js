// The boxes of an answer, its words and the tokens in the panel light one another: a name that is pointed at or has the
// focus lights its boxes on the picture above it, and in the panel the merged tokens below them; a box lights its name,
// and a token the boxes that cover it. A click, or Enter, holds the light.
//
// What is where comes from Python (chat/box_links.py) with the rows under the messages. Gradio draws the messages and
// draws them anew whenever it likes, so all of this is put back after each change of the chat. The model's words are
// only ever moved into elements as the text nodes that they are (box-names.js); what lies over a picture is made in
// box-layers.js.
(() => {
  const { layerOn, place, boxUnder, cover, kindOf } = window.qwen2vl.boxLayers;
  const PICTURES = ".bot.message img";
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
  let large = null; // of the picture in the lightbox: {row, layers, names}

  const lens = () => window.qwen2vl.lens;

  const make = (...parts) => window.qwen2vl.lens.el(...parts);
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
    for (const entry of [...decorated.values(), ...(large ? [large] : [])]) {
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

  // The panel

  // The medium of the prompt in the panel on which a picture's boxes lie: {medium: its index, t}, or null.
  function inPanel(picture) {
    const data = lens()?.state.data;
    if (!data) return null;
    const messages = [...new Set(data.media.map(medium => medium.message))];
    const kind = picture.seconds === null ? "image" : "video";
    const own = data.media
      .map((medium, index) => ({ ...medium, index }))
      .filter(medium => medium.message === messages[picture.group]);
    const whole = own[picture.place];
    if (kind === "image")
      return whole?.kind === kind && whole.name === picture.name ? { medium: whole.index, t: 0 } : null;
    // A clip can be in pieces, behind time stamps.
    const pieces =
      whole?.name === picture.name ? [whole] : own.filter(({ name }) => name.startsWith(`${picture.name}, `));
    const frames = pieces
      .filter(piece => piece.kind === kind)
      .flatMap(({ index, timestamps }) =>
        timestamps.map((time, frame) => ({ medium: index, t: frame >> 1, off: Math.abs(time - picture.seconds) })),
      )
      .sort((a, b) => a.off - b.off);
    return frames.length ? { medium: frames[0].medium, t: frames[0].t } : null;
  }

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
    const words = wordsOf(message).textContent;
    const layers = images.map((image, at) => layerOn(image, row.boxes.pictures[at]));
    const names = window.qwen2vl.nameBoxes(wordsOf(message), row);
    const units = row.boxes.units && switchOf(row);
    message.append(...layers.map(({ root }) => root));
    if (units) message.insertBefore(units, message.querySelector(":scope > .under"));
    for (const { image } of layers) sizes.observe(image);
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
    const entry = target.closest("#lightbox") ? large : decorated.get(message);
    if (!entry) return null;
    const light = boxes => ({ turn: entry.row.number, boxes, by: "chat" });
    const name = target.closest(".box-name, .box-chip");
    if (name) return light(entry.names.find(({ pieces }) => pieces.includes(name))?.boxes || []);
    for (const layer of entry.layers) {
      for (const [box, spot] of layer.spots) if (spot === target) return light([box]);
      if (!event || !(layer.image === target || target.contains(layer.image))) continue;
      if (entry === large && window.qwen2vl.marking.marks()) continue;
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
    const pressed =
      event.target instanceof Element && event.target.closest("#chat .box-name, #chat .box-layer > span, .box-chip");
    if (pressed && !getSelection().toString()) hold(under(pressed));
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

  // What an answer marks on a picture of the chat: {row, picture}, or null.
  function boxesOn(image) {
    for (const { row, layers } of decorated.values())
      for (const layer of layers) if (layer.image === image) return { row, picture: layer.picture };
    return null;
  }

  // The lightbox shows such a picture, {row, layers, names}, or none that has boxes.
  function drawLarge(entry) {
    large = entry;
    show();
  }
  Object.assign((window.qwen2vl ||= {}), { drawBoxes, boxesOn, drawLarge });

  const watch = () => {
    const chat = document.querySelector("#chat");
    if (!chat || !lens()?.on) return setTimeout(watch, 50);
    sizes.observe(chat);
    lens().on("change", names => names.has("at") && fromPanel());
    lens().on("data", () => {
      told = "";
      showInPanel();
    });
    window.qwen2vl.onChatChange(draw);
  };
  watch();
})();
