// The order of the files in the composer, which is the order in which the model gets them: a tile is dragged to another
// place, with a mouse by any part of it, with a finger by its handle; on the handle the arrow keys move it.
(() => {
  const START = 5; // px that the pointer moves before it drags
  const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
  const tiles = () => [...document.querySelectorAll("#composer .thumbnail-item")];
  const nameOf = tile => tile.querySelector(".about b")?.textContent || "this file";
  let pending = null; // [from, to], until the composer has the new order
  let focused = null; // the place whose handle has the focus: Gradio draws the tiles anew
  let drag = null; // {pointer, tile, from, to, x, y, moving}

  // What the composer holds, in the new order.
  function apply(box) {
    const [from, to] = pending || [0, 0];
    pending = null;
    if (!box?.files || Math.max(from, to) >= box.files.length) return box;
    const files = [...box.files];
    files.splice(to, 0, ...files.splice(from, 1));
    setTimeout(() => window.qwen2vl.filesChanged(), 50); // once they are drawn
    return { ...box, files };
  }

  function move(from, to, focus) {
    const all = tiles();
    if (pending || from === to || to < 0 || to >= all.length) return;
    const name = nameOf(all[from]);
    pending = [from, to];
    window.qwen2vl.attached.moved(from, to);
    document.querySelector("#reorder-files").click();
    focused = focus ? to : null;
    draw();
    if (focus) tiles()[to]?.querySelector(".grip")?.focus();
    say(`${name} is now ${to + 1} of ${all.length}.`);
  }

  function say(words) {
    let live = document.querySelector("#reordered");
    if (!live) {
      live = document.createElement("p");
      live.id = "reordered";
      live.setAttribute("role", "status");
      document.body.append(live);
    }
    live.textContent = words;
  }

  // Each tile has a handle while there is something to order.
  function draw() {
    const all = tiles();
    for (const [place, tile] of all.entries()) {
      let grip = tile.querySelector(".grip");
      if (all.length < 2) {
        grip?.remove();
        continue;
      }
      if (!grip) {
        grip = document.createElement("button");
        grip.type = "button";
        grip.className = "grip";
        grip.title = "Drag it to another place, or use the arrow keys. The model gets the files in this order.";
        tile.append(grip);
      }
      const label = `Move ${nameOf(tile)}, ${place + 1} of ${all.length}`;
      if (grip.getAttribute("aria-label") !== label) grip.setAttribute("aria-label", label);
      if (place === focused && document.activeElement !== grip) grip.focus();
    }
  }

  function mark() {
    for (const [place, tile] of tiles().entries()) {
      tile.classList.toggle("dragged", Boolean(drag?.moving && tile === drag.tile));
      const here = drag?.moving && place === drag.to && drag.to !== drag.from;
      tile.classList.toggle("drop-before", Boolean(here && drag.to < drag.from));
      tile.classList.toggle("drop-after", Boolean(here && drag.to > drag.from));
    }
  }

  function begin(event) {
    focused = null;
    if (drag) return; // a second finger
    const tile = event.target.closest?.("#composer .thumbnail-item");
    if (!tile || event.button || event.target.closest(".delete-button") || tiles().length < 2) return;
    if (event.pointerType !== "mouse" && !event.target.closest(".grip")) return;
    const from = tiles().indexOf(tile);
    drag = { pointer: event.pointerId, tile, from, to: from, x: event.clientX, y: event.clientY, moving: false };
  }

  // The place whose tile is nearest to the pointer.
  function follow(event) {
    if (!drag || drag.pointer !== event.pointerId) return;
    if (!event.buttons) return end(true); // let go outside of the window, of which the page was not told
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.moving && Math.hypot(dx, dy) < START) return;
    if (!drag.moving) drag.rects = tiles().map(tile => tile.getBoundingClientRect());
    drag.moving = true;
    event.preventDefault();
    drag.tile.style.transform = `translate(${dx}px, ${dy}px)`;
    const away = ({ left, right, top, bottom }) =>
      Math.hypot((left + right) / 2 - event.clientX, (top + bottom) / 2 - event.clientY);
    const distances = drag.rects.map(away);
    drag.to = distances.indexOf(Math.min(...distances));
    mark();
  }

  // The pointer `pointer` has gone; whatever is dragged ends without one.
  function end(keep, pointer = drag?.pointer) {
    if (!drag || drag.pointer !== pointer) return;
    const { tile, from, to, moving } = drag;
    drag = null;
    tile.style.transform = "";
    mark();
    if (!moving) return;
    if (keep) move(from, to, false);
    // What was dragged was not pressed.
    const swallow = event => event.stopPropagation();
    document.addEventListener("click", swallow, { capture: true, once: true });
    setTimeout(() => document.removeEventListener("click", swallow, { capture: true }));
  }

  document.addEventListener("pointerdown", begin);
  // The composer takes the focus when its files change; it comes back until the visitor does something else.
  document.addEventListener("focusin", event => {
    if (focused !== null && !event.target.closest?.(".grip")) tiles()[focused]?.querySelector(".grip")?.focus();
  });
  document.addEventListener("pointermove", follow, { passive: false });
  document.addEventListener("pointerup", event => end(true, event.pointerId));
  document.addEventListener("pointercancel", event => end(false, event.pointerId));
  document.addEventListener(
    "dragstart",
    event => event.target.closest?.("#composer .thumbnails") && event.preventDefault(),
  );
  document.addEventListener(
    "keydown",
    event => {
      focused = null;
      if (event.key === "Escape" && drag?.moving) {
        event.stopPropagation();
        return end(false);
      }
      const grip = event.target.closest?.("#composer .grip");
      if (!grip || event.ctrlKey || event.metaKey || event.altKey) return;
      const all = tiles();
      const from = all.indexOf(grip.closest(".thumbnail-item"));
      const to = { Home: 0, End: all.length - 1 }[event.key] ?? from + (STEPS[event.key] || 0);
      if (!(event.key in STEPS) && event.key !== "Home" && event.key !== "End") return;
      event.preventDefault();
      event.stopPropagation();
      move(from, to, true);
    },
    true,
  );
  const watch = () => {
    const composer = document.querySelector("#composer");
    if (!composer) return setTimeout(watch, 50);
    new MutationObserver(draw).observe(composer, { childList: true, subtree: true, characterData: true });
  };
  watch();
  Object.assign((window.qwen2vl ||= {}), { reorder: { apply } });
})();
