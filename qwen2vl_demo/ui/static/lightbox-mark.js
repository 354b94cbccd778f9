// A box on the picture that is open in the lightbox, drawn with the pointer or moved with the keys: "Ask about this"
// writes it into the question as the model writes boxes, "Look closer" and "Crop" have that part cut out of the file
// (ui/cutouts.py) and put into the composer.
(() => {
  const SCALE = 1000; // coordinates are thousandths of the sides
  const STEP = 0.01; // of a side, for an arrow key
  const LEAST = 0.01; // of a side, that a box has
  const CLICK = 6; // px; what is dragged less is a click
  const CORNERS = { "left top": [0, 1], "right top": [2, 1], "right bottom": [2, 3], "left bottom": [0, 3] };
  const page = () => (window.qwen2vl ||= {});

  let lightbox = null; // {picture, close(to)}
  let tools = null;
  let frame = null; // the box, as an element
  let hint = null;
  let buttons = {};
  let open = null; // {crop, file, name, number, several} of the picture; null for one that cannot be marked
  let drawing = false; // whether dragging draws
  let box = null; // [left, top, right, bottom] in shares of the sides
  let drag = null; // {how: "new", "move" or the indices of the sides that follow, at: [x, y], from: box}

  const within = (value, low, high) => Math.min(high, Math.max(low, value));

  function button(label, act, hintText = "") {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.title = hintText;
    made.addEventListener("click", act);
    return made;
  }

  // Draws what belongs to the marking into the lightbox, once.
  function build(dialog, picture, close) {
    lightbox = { picture, close };
    frame = document.createElement("div");
    frame.className = "marked";
    frame.tabIndex = 0;
    frame.setAttribute("role", "application");
    frame.setAttribute("aria-roledescription", "box");
    for (const name of Object.keys(CORNERS)) {
      const corner = document.createElement("span");
      corner.className = name;
      corner.dataset.corner = name;
      frame.append(corner);
    }
    frame.addEventListener("keydown", key);
    buttons = {
      mark: button("Mark a region", event => begin(event.detail === 0), "Draw a box on the picture"),
      ask: button("Ask about this", ask, "Put this region into the question"),
      closer: button("Look closer", () => cut("closer"), "Attach this part at its full resolution"),
      crop: button("Crop", () => cut("crop"), "Keep this part only, at its full resolution"),
      remove: button("Remove", remove, "Take the box away"),
    };
    hint = document.createElement("p");
    hint.setAttribute("aria-live", "polite");
    const bar = document.createElement("div");
    bar.className = "bar";
    bar.append(...Object.values(buttons));
    tools = document.createElement("div");
    tools.className = "tools";
    tools.append(hint, bar);
    dialog.append(frame, tools);
    addEventListener("resize", place);
    picture.addEventListener("load", place);
  }

  // Another picture is shown: what it is, or null.
  function show(what) {
    open = what;
    box = drag = null;
    drawing = Boolean(open?.crop);
    update();
  }

  // With `centred` from a box in the middle, which the arrow keys move.
  function begin(centred) {
    if (drawing && !box) drawing = false;
    else drawing = true;
    if (drawing && !box && centred) {
      box = [0.25, 0.25, 0.75, 0.75];
      update();
      frame.focus({ preventScroll: true });
    }
    update();
  }

  function remove() {
    box = null;
    update();
    buttons.mark.focus({ preventScroll: true });
  }

  const numbers = () => {
    const [x1, y1, x2, y2] = box.map(share => within(Math.round(share * SCALE), 0, SCALE - 1));
    return [Math.min(x1, x2 - 1), Math.min(y1, y2 - 1), x2, y2];
  };

  function update() {
    tools.hidden = !open;
    lightbox.picture.parentElement.classList.toggle("with-tools", Boolean(open));
    lightbox.picture.classList.toggle("drawing", Boolean(open && drawing));
    buttons.mark.setAttribute("aria-pressed", drawing);
    buttons.mark.hidden = Boolean(box);
    buttons.remove.hidden = !box;
    buttons.ask.hidden = !box || !open?.number;
    buttons.closer.hidden = !box || open?.crop;
    buttons.crop.hidden = !box || !open?.crop;
    hint.textContent = words();
    place();
  }

  function words() {
    if (!open || (!drawing && !box)) return "";
    if (!box) return "Drag over the picture to draw a box.";
    const [x1, y1, x2, y2] = numbers();
    const where = `(${x1},${y1}) to (${x2},${y2}) in thousandths of the picture.`;
    const model = page().model || {};
    if (open.number && model.regions === false) {
      const instead = open.crop ? "Crop" : "Look closer";
      return `${where} ${model.name} was not trained on questions with such a box: "${instead}" works better with it.`;
    }
    return where;
  }

  // Where the picture itself is, in px of the window: its element has a margin on two sides.
  function area() {
    const { picture } = lightbox;
    const outer = picture.getBoundingClientRect();
    const k = Math.min(outer.width / picture.naturalWidth, outer.height / picture.naturalHeight);
    const [width, height] = [picture.naturalWidth * k, picture.naturalHeight * k];
    return {
      left: outer.left + (outer.width - width) / 2,
      top: outer.top + (outer.height - height) / 2,
      width,
      height,
    };
  }

  // Whether the pointer draws, or has drawn.
  const marks = () => drawing || Boolean(box);

  function place() {
    if (!lightbox) return;
    frame.hidden = !box || !open || !lightbox.picture.naturalWidth;
    if (frame.hidden) return;
    const { left, top, width, height } = area();
    Object.assign(frame.style, {
      left: `${left + box[0] * width}px`,
      top: `${top + box[1] * height}px`,
      width: `${(box[2] - box[0]) * width}px`,
      height: `${(box[3] - box[1]) * height}px`,
    });
    const [x1, y1, x2, y2] = numbers();
    frame.setAttribute(
      "aria-label",
      `Box from (${x1},${y1}) to (${x2},${y2}). The arrow keys move it, with Shift they change its size.`,
    );
  }

  // The point of an event in shares of the picture.
  function point(event) {
    const { left, top, width, height } = area();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  }

  // Whether a pointer that goes down draws; then `move` and `up` follow, or `cancel`.
  function down(event) {
    if (!open || !lightbox.picture.naturalWidth) return false;
    const corner = event.target.dataset?.corner;
    const at = point(event);
    if (corner) drag = { how: CORNERS[corner], at, from: [...box] };
    else if (event.target === frame) drag = { how: "move", at, from: [...box] };
    else if (drawing && at.every(share => share >= 0 && share <= 1)) drag = { how: "new", at, from: box };
    else return false;
    drag.x = event.clientX;
    drag.y = event.clientY;
    return true;
  }

  function move(event) {
    if (!drag) return;
    const [x, y] = point(event).map(share => within(share, 0, 1));
    if (drag.how === "new") {
      if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < CLICK) return;
      box = [Math.min(x, drag.at[0]), Math.min(y, drag.at[1]), Math.max(x, drag.at[0]), Math.max(y, drag.at[1])];
    } else if (drag.how === "move") {
      const [now, then] = [point(event), drag.at];
      shift(drag.from, now[0] - then[0], now[1] - then[1]);
    } else {
      const [across, down] = drag.how;
      box = [...drag.from];
      box[across] = x;
      box[down] = y;
      box = [Math.min(box[0], box[2]), Math.min(box[1], box[3]), Math.max(box[0], box[2]), Math.max(box[1], box[3])];
    }
    widen();
    update();
  }

  function up() {
    if (!drag) return;
    const drawn = drag.how !== "new" || box !== drag.from;
    drag = null;
    if (drawn) frame.focus({ preventScroll: true });
  }

  // A second finger came: it zooms.
  function cancel() {
    if (!drag) return;
    box = drag.from;
    drag = null;
    update();
  }

  function shift(from, dx, dy) {
    dx = within(dx, -from[0], 1 - from[2]);
    dy = within(dy, -from[1], 1 - from[3]);
    box = [from[0] + dx, from[1] + dy, from[2] + dx, from[3] + dy];
  }

  // At least LEAST a side, inside the picture.
  function widen() {
    for (const low of [0, 1]) {
      box[low] = Math.min(box[low], 1 - LEAST);
      box[low + 2] = Math.max(box[low + 2], box[low] + LEAST);
    }
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const ways = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const way = ways[event.key];
    if (event.key === "Enter") (open.crop ? () => cut("crop") : open.number ? ask : () => cut("closer"))();
    else if (event.key === "Delete" || event.key === "Backspace") remove();
    else if (way && event.shiftKey) {
      box = [box[0], box[1], within(box[2] + way[0], 0, 1), within(box[3] + way[1], 0, 1)];
      widen();
      update();
    } else if (way) {
      shift(box, ...way);
      update();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // Writes into the composer where its cursor is; an empty one gets a question.
  function ask() {
    const [x1, y1, x2, y2] = numbers();
    const which = open.several ? ` of picture ${open.number}` : "";
    const region = `<|box_start|>(${x1},${y1}),(${x2},${y2})<|box_end|>${which}`;
    const field = document.querySelector("#composer textarea");
    const text = field.value;
    const [start, end] = text.trim() ? [field.selectionStart, field.selectionEnd] : [0, text.length];
    const before = text.slice(0, start);
    const after = text.slice(end);
    const gap = (side, edge) => (side && !edge.test(side) ? " " : "");
    const put = text.trim() ? `${gap(before, /\s$/)}${region}${gap(after, /^[\s.,;:!?]/)}` : `What is in ${region}?`;
    const setter = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set;
    setter.call(field, before + put + after);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    lightbox.close(field);
    requestAnimationFrame(() => field.setSelectionRange(start + put.length, start + put.length));
  }

  function cut(how) {
    page().cutOut?.({ do: how, file: open.file, box });
    lightbox.close(document.querySelector("#composer textarea"));
  }

  document.addEventListener("model-told", () => tools && update());
  Object.assign(page(), { marking: { build, show, begin, place, area, marks, down, move, up, cancel } });
})();
