// Choosing the part of a clip in the composer: a tile's button opens the clip with an in and an out point; all frames
// are then taken from between them.
(() => {
  const SHORTEST = 0.1; // s, also the step of the handles
  const UNPLAYABLE = "Your browser does not play this file here; type the times.";
  let dialog = null;
  let opener = null; // the tile's button
  let file = null; // {id, name, seconds, part} of the clip that is open
  let long = 0; // s, of the clip; 0 while it is not known
  const page = () => (window.qwen2vl ||= {});
  const root = () => String(window.gradio_config?.root || location.origin).replace(/\/$/, "");
  const address = path => `${root()}/gradio_api/file=${path.split("/").map(encodeURIComponent).join("/")}`;
  const part = name => dialog.querySelector(`[data-part="${name}"]`);
  const round = seconds => Math.round(seconds * 10) / 10;

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }
  function named(name, tag, properties, ...children) {
    const made = element(tag, properties, ...children);
    made.dataset.part = name;
    return made;
  }

  // A handle of the bar.
  function handle(name, label) {
    const made = named(name, "input", { type: "range", min: 0, step: SHORTEST });
    made.setAttribute("aria-label", label);
    made.addEventListener("input", () => set(name, Number(made.value), true));
    return made;
  }

  // A time to type, and a button that takes the player's.
  function field(name, label) {
    const input = named(`${name}-seconds`, "input", { type: "number", min: 0, step: SHORTEST, inputMode: "decimal" });
    input.addEventListener("change", () => set(name, Number(input.value), true));
    const here = element("button", { type: "button", textContent: "Set here", title: "Where the player stands" });
    here.setAttribute("aria-label", `${label}: set here, where the player stands`);
    here.addEventListener("click", () => set(name, part("player").currentTime, false));
    return element("label", {}, element("span", { textContent: label }), input, " s ", here);
  }

  function build() {
    dialog = element("dialog", { id: "choose-part", className: "dialog" });
    dialog.setAttribute("aria-labelledby", "choose-part-title");
    const player = named("player", "video", { controls: true, muted: true, preload: "metadata", playsInline: true });
    player.addEventListener("loadedmetadata", () => lasts(player.duration));
    player.addEventListener("error", () => {
      if (player.hasAttribute("src")) playable(false);
    });
    const button = (text, act) => element("button", { type: "button", textContent: text, onclick: act });
    const look = button("Look at this part", apply);
    look.className = "read";
    const bar = named("bar", "div", { className: "span" }, element("i"));
    bar.append(handle("in", "Begin of the part"), handle("out", "End of the part"));
    dialog.append(
      element("h2", { id: "choose-part-title" }),
      player,
      named("problem", "p", { textContent: UNPLAYABLE, hidden: true }),
      bar,
      element("div", { className: "fields" }, field("in", "From"), field("out", "To")),
      named("says", "p", { className: "chosen" }),
      element(
        "div",
        { className: "buttons" },
        look,
        button("All of it", all),
        button("Cancel", () => dialog.close()),
      ),
    );
    part("says").setAttribute("role", "status");
    dialog.addEventListener("close", () => {
      player.pause();
      player.removeAttribute("src");
      player.load();
      opener?.focus();
    });
    document.body.append(dialog);
  }

  function open(of, button) {
    if (!dialog?.isConnected) build();
    file = of;
    opener = button;
    long = 0;
    dialog.querySelector("h2").textContent = `Which part of ${of.name}?`;
    playable(true);
    part("player").poster = of.poster || "";
    part("player").src = address(of.id);
    const [start, end] = of.part || [0, null];
    part("in-seconds").value = start;
    part("out-seconds").value = end ?? "";
    lasts(of.seconds || 0);
    dialog.showModal();
  }

  function playable(plays) {
    part("player").hidden = !plays;
    part("problem").hidden = plays;
    for (const here of dialog.querySelectorAll(".fields button")) here.hidden = !plays;
  }

  // How long the clip is, as its header says or, better, its player.
  function lasts(seconds) {
    const known = Number.isFinite(seconds) && seconds > 0;
    const end = part("out-seconds");
    const all = !end.value || Number(end.value) === round(long);
    if (known) long = Math.max(seconds, SHORTEST);
    for (const name of ["in", "out"]) {
      part(name).max = round(long);
      part(name).disabled = !long;
    }
    if (all && long) end.value = round(long);
    show();
  }

  const number = name => Number(part(`${name}-seconds`).value) || 0;
  const last = () => (long ? round(long) : Infinity);

  // One point is moved; the other gives way where they would meet.
  function set(name, seconds, seek) {
    const at = round(Math.max(0, Math.min(last(), Number.isFinite(seconds) ? seconds : 0)));
    const other = name === "in" ? "out" : "in";
    const moved = name === "in" ? Math.min(at, last() - SHORTEST) : Math.max(at, SHORTEST);
    part(`${name}-seconds`).value = round(moved);
    const touches = name === "in" ? number("out") < moved + SHORTEST : number("in") > moved - SHORTEST;
    if (touches && (name === "out" || part("out-seconds").value))
      part(`${other}-seconds`).value = round(name === "in" ? moved + SHORTEST : moved - SHORTEST);
    const player = part("player");
    if (seek && player.readyState) player.currentTime = moved;
    show();
  }

  function chosen() {
    const start = number("in");
    const typed = part("out-seconds").value;
    const end = typed === "" || Number(typed) >= last() ? null : Number(typed);
    return { start, end, all: start === 0 && end === null };
  }

  function show() {
    const { start, end, all } = chosen();
    const stop = end ?? (long ? round(long) : null);
    part("in").value = start;
    part("out").value = stop ?? 0;
    const bar = part("bar").querySelector("i");
    const share = seconds => `${(100 * seconds) / (long || 1)}%`;
    bar.style.left = share(start);
    bar.style.width = share((stop ?? 0) - start);
    const whole = long ? ` of ${round(long)} s` : "";
    part("says").textContent = all
      ? `Frames are taken from all of it${long ? `, ${round(long)} s` : ""}.`
      : stop === null
        ? `All frames are taken from ${start} s on.`
        : `All frames are taken from these ${round(stop - start)} s${whole}.`;
  }

  function all() {
    part("in-seconds").value = 0;
    part("out-seconds").value = "";
    apply();
  }

  function apply() {
    const { start, end, all } = chosen();
    page().attached.choose(file.id, all ? null : [start, end]);
    page().choosePart(file.id, start, end);
    dialog.close();
  }

  Object.assign(page(), { clipPart: { open } });
})();
