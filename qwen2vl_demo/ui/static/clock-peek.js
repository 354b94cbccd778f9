// A small picture of a sampled frame, beside the strip under a player or a time in an answer that is pointed at or has
// the focus (clock.js). Its pixels are those that the panel has of the prompt, so nothing is asked of the server.
// Escape takes it away. Where the pointer cannot rest on a thing, as on a phone, there is none.
(() => {
  const SIDE = 176; // px, of the longer side
  const GAP = 8;
  const LINGER = 120; // ms in which the pointer can go from a moment to its picture
  const SAME_TIME = 0.002; // s
  const room = matchMedia("(hover: hover) and (min-width: 700px)");
  const lens = () => window.qwen2vl.lens;

  let root = null; // the figure
  let by = null; // the element for which it stands there
  let from = 0; // px, from the left side of that to the middle of the picture
  let timer = null;

  function build() {
    const picture = document.createElement("canvas");
    root = document.createElement("figure");
    root.id = "peek";
    root.hidden = true;
    root.setAttribute("aria-hidden", "true"); // what it shows is said where it is shown for
    root.append(picture, document.createElement("figcaption"));
    root.addEventListener("pointerenter", () => clearTimeout(timer));
    root.addEventListener("pointerleave", () => hide());
    document.body.append(root);
  }

  // Where the panel has the frame, as {image, picture, frame} of lens.source; null where it has not, or where two clips
  // cannot be told apart. `clips` are all that are shown, in their order.
  function sourceOf(clip, frame, clips) {
    const alike = other =>
      other.name === clip.name && other.times.length === clip.times.length && isAt(clip.times, other.times);
    const shown = clips.filter(alike);
    const found = (lens()?.state.data?.attached || []).filter(
      ({ name, frames }) => name === clip.name && frames.length >= clip.times.length && isAt(clip.times, times(frames)),
    );
    const oneFile = shown.every(({ file }) => file === clip.file);
    if (!oneFile && shown.length !== found.length) return null;
    const own = oneFile ? found.at(-1) : found[shown.indexOf(clip)];
    if (!own) return null;
    const { medium, at } = own.frames[frame];
    return lens().source(medium, at);
  }
  const times = frames => frames.map(({ time }) => time);
  const isAt = (some, others) => some.every((time, i) => Math.abs(time - others[i]) < SAME_TIME);

  // Shows a frame of a clip for an element, over or else under it, at `x` of the window.
  function show(element, x, clip, frame, clips, caption) {
    clearTimeout(timer);
    const source = room.matches ? sourceOf(clip, frame, clips) : null;
    if (!source?.picture?.complete || !source.picture.naturalWidth) return hide();
    if (!root?.isConnected) build();
    const [left, top, width, height] = lens().frameRect(source.image, source.frame);
    const scale = SIDE / Math.max(width, height);
    const picture = root.firstChild;
    const sharp = devicePixelRatio || 1;
    const [across, down] = [Math.round(width * scale), Math.round(height * scale)];
    Object.assign(picture, { width: across * sharp, height: down * sharp });
    Object.assign(picture.style, { width: `${across}px`, height: `${down}px` });
    picture.getContext("2d").drawImage(source.picture, left, top, width, height, 0, 0, picture.width, picture.height);
    root.lastChild.textContent = caption;
    root.hidden = false;
    by = element;
    from = x - element.getBoundingClientRect().left;
    place();
  }

  function place() {
    if (!by) return;
    const [box, own] = [by.getBoundingClientRect(), root.getBoundingClientRect()];
    if (!box.width || box.bottom < 0 || box.top > innerHeight) return hide();
    const above = box.top - GAP - own.height;
    Object.assign(root.style, {
      left: `${Math.max(GAP, Math.min(innerWidth - own.width - GAP, box.left + from - own.width / 2))}px`,
      top: `${above >= GAP ? above : box.bottom + GAP}px`,
    });
  }

  // Takes it away: at once, or when the pointer has had time to come to it.
  function hide(linger = 0) {
    clearTimeout(timer);
    if (linger) timer = setTimeout(hide, linger);
    else if (root) {
      root.hidden = true;
      by = null;
    }
  }

  document.addEventListener(
    "keydown",
    event => {
      if (event.key !== "Escape" || !by) return;
      event.preventDefault();
      event.stopPropagation();
      hide();
    },
    true,
  );
  document.addEventListener("scroll", place, true);
  window.qwen2vl.onChatChange(place); // what it stands for may be gone

  Object.assign(((window.qwen2vl ||= {}).clock ||= {}), { peek: { show, hide: () => hide(LINGER) } });
})();
