// A picture of the chat, large: a click opens it, the wheel, two fingers, "+" and "-" zoom, dragging moves it, the
// arrow keys go to the chat's other pictures, Escape and a click beside it close it. A file of the composer opens
// alike. lightbox-boxes.js shows the boxes of an answer on it, lightbox-mark.js those that the visitor draws.
(() => {
  const PICTURES = "#chat .message .image-container img, #chat .message button img";
  const LARGEST = 16; // times as large as fitted
  const STEP = 1.3;

  let dialog = null;
  let picture = null;
  let counter = null;
  let shown = null; // the chat's own element; null for a file of the composer
  let back = null; // what has the focus when it is closed
  let scale = 1;
  let left = 0; // of the picture's middle from where it is when it fits, in px
  let top = 0;
  const fingers = new Map(); // pointers that are down, by id
  let moved = false;
  let drawing = false; // the pointer draws a box

  const marking = () => window.qwen2vl.marking;
  const boxes = () => window.qwen2vl.largeBoxes;
  const pictures = () => [...document.querySelectorAll(PICTURES)];

  function button(label, sign, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = sign;
    made.setAttribute("aria-label", label);
    made.title = label;
    made.addEventListener("click", act);
    return made;
  }

  function build() {
    dialog = document.createElement("dialog");
    dialog.id = "lightbox";
    dialog.setAttribute("aria-label", "Picture");
    picture = document.createElement("img");
    picture.draggable = false;
    counter = document.createElement("span");
    counter.setAttribute("role", "status");
    const bar = document.createElement("div");
    bar.className = "bar";
    const others = document.createElement("span");
    others.className = "others";
    others.append(
      button("Previous picture", "←", () => go(-1)),
      counter,
      button("Next picture", "→", () => go(1)),
    );
    dialog.append(picture);
    bar.append(
      others,
      boxes().build(dialog, picture),
      button("Smaller", "−", () => zoom(1 / STEP)),
      button("Larger", "+", () => zoom(STEP)),
      button("Fit the window", "Fit", fit),
      button("Close", "Close", () => dialog.close()),
    );
    dialog.append(bar);
    marking().build(dialog, picture, to => {
      back = to;
      dialog.close();
    });
    dialog.addEventListener("wheel", wheel, { passive: false });
    dialog.addEventListener("pointerdown", down);
    dialog.addEventListener("pointermove", move);
    dialog.addEventListener("pointerup", up);
    dialog.addEventListener("pointercancel", up);
    dialog.addEventListener("keydown", key);
    dialog.addEventListener("close", () => {
      boxes().show(null);
      back?.focus();
    });
    document.body.append(dialog);
  }

  function place() {
    picture.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
    marking().place();
    boxes().place();
  }

  function fit() {
    scale = 1;
    left = top = 0;
    place();
  }

  // Zooms so that the point (x, y) of the window stays where it is; without one, the picture's middle.
  function zoom(factor, x, y) {
    const next = Math.min(LARGEST, Math.max(1, scale * factor));
    const dx = x === undefined ? left : x - picture.offsetLeft - picture.offsetWidth / 2;
    const dy = y === undefined ? top : y - picture.offsetTop - picture.offsetHeight / 2;
    left = next === 1 ? 0 : dx - ((dx - left) * next) / scale;
    top = next === 1 ? 0 : dy - ((dy - top) * next) / scale;
    scale = next;
    place();
  }

  function open(image) {
    shown = image;
    back = image.closest("button");
    const all = pictures();
    show(image, `${all.indexOf(image) + 1} of ${all.length}`, inChat(image));
  }

  // An attached picture: `image` is its element, `what` as in lightbox-mark.js.
  function openFile(image, opener, what) {
    shown = null;
    back = opener;
    show(image, "", what);
  }

  function show(image, count, what) {
    if (!dialog?.isConnected) build();
    picture.src = image.currentSrc || image.src;
    picture.alt = image.alt;
    if (!dialog.open) dialog.showModal();
    boxes().show(image);
    counter.textContent = count;
    counter.parentElement.hidden = !count;
    marking().show(what);
    fit();
  }

  // What a picture of the chat is for marking: its file is named by its digest, whatever was drawn on it.
  function inChat(image) {
    const file = decodeURIComponent(image.src).match(/\/([0-9a-f]{64})\.[^/]*$/)?.[1];
    const all = window.qwen2vl.pictures?.() || [];
    const found = all.findLast(one => one.file === file && one.number) || all.findLast(one => one.file === file);
    return found ? { ...found, several: all.filter(one => one.number).length > 1 } : null;
  }

  function go(step) {
    if (!shown) return;
    const all = pictures();
    const next = all[all.indexOf(shown) + step];
    if (next) open(next);
  }

  function key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = {
      ArrowLeft: () => go(-1),
      ArrowRight: () => go(1),
      "+": () => zoom(STEP),
      "=": () => zoom(STEP),
      "-": () => zoom(1 / STEP),
      0: fit,
      b: boxes().toggle,
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  function wheel(event) {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
  }

  function down(event) {
    if (event.target.closest(".bar, .box-chips")) return;
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    dialog.setPointerCapture(event.pointerId);
    moved = fingers.size > 1;
    if (moved && drawing) marking().cancel();
    drawing = !moved && marking().down(event);
  }

  function move(event) {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    if (!event.buttons) return up(event); // let go outside of the window, of which the page was not told
    if (drawing) return marking().move(event);
    const [x, y] = [event.clientX, event.clientY];
    if (Math.hypot(x - before[0], y - before[1]) > 3) moved = true;
    else if (!moved) return;
    const other = [...fingers.entries()].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const spread = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
      zoom(spread([x, y], other) / spread(before, other), (x + other[0]) / 2, (y + other[1]) / 2);
    } else if (scale > 1) {
      left += x - before[0];
      top += y - before[1];
      place();
    }
    fingers.set(event.pointerId, [x, y]);
  }

  function up(event) {
    if (!fingers.delete(event.pointerId)) return;
    if (drawing) {
      drawing = false;
      return marking().up();
    }
    if (fingers.size || moved || event.type !== "pointerup") return;
    const box = picture.getBoundingClientRect();
    const inside =
      event.clientX >= box.left &&
      event.clientX <= box.right &&
      event.clientY >= box.top &&
      event.clientY <= box.bottom;
    if (!inside) dialog.close();
    else if (scale > 1) fit();
    else zoom(2.5, event.clientX, event.clientY);
  }

  addEventListener(
    "click",
    event => {
      const opener =
        event.target instanceof Element && event.target.closest("#chat .message button, #chat .message img");
      const image = opener && (opener.matches("img") ? opener : opener.querySelector("img"));
      if (!image?.matches(PICTURES)) return;
      event.preventDefault();
      event.stopPropagation();
      open(image);
    },
    true,
  );
  Object.assign((window.qwen2vl ||= {}), { lightbox: { openFile } });
})();
