// A clock for the clips of the chat: under each player a strip with the frames that the model saw, and the times in an
// answer as buttons that seek the player of its clip and light the frames around that time.
//
// Which frames were seen comes from Python (chat/seen_frames.py) with the rows of the messages. Gradio draws the
// messages and draws them anew whenever it likes, so strips and buttons are put back after each change of the chat.
// Nothing of the model's text becomes HTML: a button holds the text that stood there.
(() => {
  const SKIPPED = "a, button, pre, .katex, .thought-group, .under, .seen, .box-name, .box-layer, .box-units, style";
  const BLOCK = "p, li, td, th, h1, h2, h3, h4, h5, h6, blockquote, dt, dd, summary";
  const { moments, frameOf, peek, AFTER_END } = window.qwen2vl.clock;
  const BEHIND_START = 0.001; // s, so that a player shows the frame that begins here and not the one before
  const WIDE = 1000; // of a strip, in its own units
  const lens = () => window.qwen2vl.lens;

  let rows = []; // one for each turn that is shown
  const strips = new Map(); // by key: what is drawn, and what is lit
  const scanned = new WeakMap(); // the answers in which times were looked for, and what was found

  const ids = new Map(); // a short name for all that is told of a clip
  const idOf = told => ids.get(told) ?? ids.set(told, ids.size).size - 1;
  const key = clip => `${clip.turn} ${clip.file} ${clip.nth}`;
  const spoken = seconds =>
    seconds < 60
      ? `${seconds.toFixed(1)} s`
      : `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }
  function drawn(tag, attributes, parent) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    parent?.append(made);
    return made;
  }

  // The sampled frames around a time, or within a span of it, as [first, last]: whole pairs, as the model sees them.
  function around(clip, from, to = from) {
    const { times } = clip;
    const first = frameOf(clip, { from, to });
    const last =
      to > from
        ? Math.max(
            first,
            times.findLastIndex(time => time <= to + AFTER_END),
          )
        : first;
    return [first - (first % 2), Math.min(times.length - 1, last + 1 - (last % 2))];
  }

  // One bracket for each pair of frames, whose feet stand at their times.
  function brackets(clip, [first, last]) {
    const x = i => ((WIDE * clip.times[i]) / clip.duration).toFixed(1);
    let path = "";
    for (let i = first; i <= last; i += 2) {
      const next = Math.min(i + 1, clip.times.length - 1);
      path += `M${x(i)} 22V7H${x(next)}V22`;
    }
    return path;
  }

  const summary = clip => {
    const count = new Set(clip.times).size;
    const frames = count === 1 ? "1 frame" : `${count} frames, two at a time`;
    const part = clip.range ? `, all from ${spoken(clip.range[0])} to ${spoken(clip.range[1])}` : "";
    return `The model saw ${frames}${part}.`;
  };
  const named = (clip, [first, last]) => {
    const times = [...new Set(clip.times.slice(first, last + 1))].map(spoken);
    if (times.length > 4) return `Frames from ${times[0]} to ${times.at(-1)}`;
    return times.length > 1 ? `Frames at ${times.slice(0, -1).join(", ")} and ${times.at(-1)}` : `Frame at ${times[0]}`;
  };

  function build(clip) {
    const svg = drawn("svg", { viewBox: `0 0 ${WIDE} 28`, preserveAspectRatio: "none", "aria-hidden": "true" });
    const [start, end] = clip.range || [0, clip.duration];
    const scale = WIDE / clip.duration;
    drawn("rect", { class: "part", x: start * scale, width: (end - start) * scale, y: 22, height: 4 }, svg);
    drawn("path", { class: "seen-frames", d: brackets(clip, [0, clip.times.length - 1]) }, svg);
    const lit = drawn("path", { class: "lit" }, svg);
    const now = drawn("path", { class: "now", d: "M0 3V27" }, svg);
    const words = element("p", { textContent: summary(clip) });
    const track = element("div", { className: "track", tabIndex: 0 }, svg);
    const long = element("span", { textContent: spoken(clip.duration), className: "long" });
    const root = element("div", { className: "seen" }, track, element("div", { className: "says" }, words, long));
    track.setAttribute("role", "slider");
    track.setAttribute("aria-label", `Frames of ${clip.name} that the model saw`);
    track.setAttribute("aria-valuemin", 1);
    track.setAttribute("aria-valuemax", clip.times.length);
    words.setAttribute("aria-live", "polite");
    const strip = { clip, root, track, lit, now, words, at: -1, player: null };
    tell(strip, 0);
    track.addEventListener("keydown", event => moved(strip, event));
    track.addEventListener("pointerdown", event => {
      if (event.button) return;
      track.setPointerCapture(event.pointerId);
      pointed(strip, event);
    });
    track.addEventListener("pointermove", event => {
      if (event.buttons && track.hasPointerCapture(event.pointerId)) pointed(strip, event);
      else if (event.pointerType !== "touch") look(strip, frameUnder(strip, event));
    });
    track.addEventListener("focus", () => track.matches(":focus-visible") && look(strip, Math.max(0, strip.at)));
    for (const left of ["pointerleave", "blur"]) track.addEventListener(left, peek.hide);
    return strip;
  }

  function tell(strip, at) {
    strip.track.setAttribute("aria-valuenow", at + 1);
    strip.track.setAttribute("aria-valuetext", `frame ${at + 1}, at ${spoken(strip.clip.times[at])}`);
  }

  const pointed = (strip, event) => frame(strip, frameUnder(strip, event));

  // The sampled frame nearest to the pointer, by its index.
  function frameUnder(strip, event) {
    const box = strip.track.getBoundingClientRect();
    const time = ((event.clientX - box.left) / box.width) * strip.clip.duration;
    return frameOf(strip.clip, { from: time, to: time });
  }

  // Shows a small picture of a frame: over its place on the strip, or over a time in an answer.
  function look(strip, at, button = null) {
    const { clip, track } = strip;
    const element = button || track;
    const box = element.getBoundingClientRect();
    const x = button ? box.left + box.width / 2 : box.left + (box.width * clip.times[at]) / clip.duration;
    const clips = rows.flatMap(row => row.clips || []);
    peek.show(element, x, clip, at, clips, `Frame ${at + 1}, at ${spoken(clip.times[at])}`);
  }

  function moved(strip, event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const count = strip.clip.times.length;
    const to = {
      ArrowRight: strip.at + 1,
      ArrowUp: strip.at + 1,
      ArrowLeft: strip.at < 0 ? 0 : strip.at - 1,
      ArrowDown: strip.at < 0 ? 0 : strip.at - 1,
      Home: 0,
      End: count - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    frame(strip, Math.max(0, Math.min(count - 1, to)));
  }

  // Shows a sampled frame in the player, and lights it with its pair.
  function frame(strip, at) {
    strip.at = at;
    tell(strip, at);
    seek(strip, strip.clip.times[at]);
    light(strip, around(strip.clip, strip.clip.times[at]));
    look(strip, at);
  }

  function seek(strip, time) {
    const { player } = strip;
    if (!player?.isConnected || player.tagName !== "VIDEO") return; // an animation cannot be sought
    const to = () => (player.currentTime = Math.min(time + BEHIND_START, player.duration || Infinity));
    if (player.readyState) to();
    else {
      player.addEventListener("loadedmetadata", to, { once: true });
      player.load();
    }
  }

  function light(strip, span) {
    strip.lit.setAttribute("d", brackets(strip.clip, span));
    strip.words.textContent = `${named(strip.clip, span)}.`;
    const data = lens()?.state.data;
    const time = strip.clip.times[span[0]];
    // With time stamps, or pictures in place of clips, the pairs of one clip are media of their own.
    const is = medium =>
      (medium.name === strip.clip.name || medium.name.startsWith(`${strip.clip.name}, `)) &&
      medium.timestamps.some(at => Math.abs(at - time) < 0.002);
    const medium = data ? data.media.findLastIndex(is) : -1;
    if (medium < 0) return;
    const place = data.media[medium].timestamps.findIndex(at => Math.abs(at - time) < 0.002);
    lens().set({ medium, t: Math.floor(place / 2), at: null });
  }

  // From a time in an answer to its clip.
  function go(clip, from, to) {
    const strip = strips.get(key(clip));
    if (!strip) return;
    const span = around(clip, from, to);
    strip.at = span[0];
    tell(strip, strip.at);
    seek(strip, from);
    light(strip, span);
    const box = strip.player.getBoundingClientRect();
    const chat = strip.player.closest(".bubble-wrap").getBoundingClientRect();
    if (box.top >= chat.top && box.bottom <= chat.bottom) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    window.qwen2vl.stopFollowing();
    strip.player.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
  }

  // The clips that an answer can speak of: those of each question down to its own.
  const clipsAbove = turn => rows.slice(0, turn + 1).map(row => row.clips || []);

  // The words of an answer, and the text nodes that hold them.
  function read(root) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, node =>
      node.parentElement.closest(SKIPPED) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT,
    );
    const nodes = [];
    let text = "";
    let block = null;
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const own = node.parentElement.closest(BLOCK);
      if (!own || !root.contains(own)) continue; // what is in no block is Gradio's own
      if (own !== block) text += "\n";
      block = own;
      nodes.push({ node, start: text.length });
      text += node.data;
    }
    return { nodes, text };
  }

  function link(root, turns) {
    const { nodes, text } = read(root);
    for (const time of moments(text, turns).reverse()) {
      const { clip, from, to } = time;
      const held = nodes.findLast(({ start }) => start <= time.start);
      if (time.end > held.start + held.node.data.length) continue;
      const node = held.node.splitText(time.start - held.start);
      node.splitText(time.end - time.start);
      const button = element("button", { type: "button", className: "at-time" });
      button.title = `Show ${spoken(from)} of ${clip.name}`;
      button.addEventListener("click", () => go(clip, from, to));
      const show = () => strips.has(key(clip)) && look(strips.get(key(clip)), frameOf(clip, { from, to }), button);
      button.addEventListener("pointerenter", event => event.pointerType !== "touch" && show());
      button.addEventListener("focus", () => button.matches(":focus-visible") && show());
      for (const left of ["pointerleave", "blur"]) button.addEventListener(left, peek.hide);
      node.replaceWith(button);
      button.append(node);
    }
  }

  function unlink(root) {
    for (const button of root.querySelectorAll(".at-time")) {
      const parent = button.parentNode;
      button.replaceWith(...button.childNodes);
      parent.normalize(); // and no more: Gradio finds its places by empty text nodes
    }
  }

  const links = root => root.querySelectorAll(".at-time").length;

  // An answer that is still being written has no links: what is selected in it stays selected.
  function drawLinks(root, row, turns) {
    const before = scanned.get(root);
    const known = turns.flat().map(clip => `${key(clip)} ${clip.id}`);
    const about = "ending" in row ? known.join() : "";
    if (!about && !before?.about) return;
    const text = root.textContent;
    if (before?.about === about && before.text === text && before.count === links(root)) return;
    unlink(root);
    if (about) link(root, turns);
    scanned.set(root, { about, text, count: links(root) });
  }

  function drawStrips(message, clips) {
    const shown = new Set();
    for (const clip of clips) {
      const players = [...message.querySelectorAll("video, img")].filter(one =>
        (one.currentSrc || one.src).includes(clip.file),
      );
      const player = players[clip.nth];
      if (!player) continue;
      const known = strips.get(key(clip));
      const strip = known?.clip.id === clip.id ? known : build(clip);
      strip.player = player;
      strips.set(key(clip), strip);
      shown.add(strip.root);
      const holder = player.closest(".message");
      if (holder.nextElementSibling !== strip.root) holder.after(strip.root);
    }
    for (const old of message.querySelectorAll(".seen")) if (!shown.has(old)) old.remove();
  }

  function draw() {
    let turn = -1;
    for (const message of document.querySelectorAll("#chat .message-row > .flex-wrap")) {
      const question = message.parentElement.classList.contains("user-row");
      if (question) turn += 1;
      const row = rows[turn];
      if (!row) continue;
      // The words of an answer stand last; captions of its pictures before them are not the model's.
      const words = [...message.querySelectorAll("[data-testid=bot]")].at(-1);
      if (question) drawStrips(message, row.clips || []);
      else if (words) drawLinks(words, row, clipsAbove(turn));
    }
  }

  function know(json) {
    const before = new Map(rows.map(row => [row.number, row.clips]));
    rows = JSON.parse(json);
    rows.forEach((row, turn) => {
      row.clips ||= before.get(row.number); // of a question that is about to be asked again
      for (const clip of row.clips || []) {
        clip.id ??= idOf(JSON.stringify(clip));
        clip.turn = turn;
      }
    });
    draw();
  }

  document.addEventListener(
    "timeupdate",
    event => {
      for (const strip of strips.values())
        if (strip.player === event.target) {
          const x = ((WIDE * Math.min(event.target.currentTime, strip.clip.duration)) / strip.clip.duration).toFixed(1);
          strip.now.setAttribute("d", `M${x} 3V27`);
        }
    },
    true,
  );

  Object.assign(((window.qwen2vl ||= {}).clock ||= {}), { know });
  window.qwen2vl.onChatChange(draw);
})();
