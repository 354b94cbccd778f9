// "Hide a region": a region is chosen in the picture, and the words of the answer say what they lost without it; or
// each block is hidden in turn, and the picture shows what each of them is worth to a word.
(() => {
  const { lab } = element;
  const { $ } = lab;
  let found = null; // {hidden} or {map}, as it came
  let picked = -1; // a word of the answer; -1: all of it
  let running = ""; // "hide" or "map" while it is computed
  let bringToFront = false; // once: show the map that is drawn next

  const way = () => element.querySelector("[name=lab-way]:checked").value;
  const state = () => lab.lens().state;
  const region = () => (state().data?.key === lab.answer().key ? state().region : null);
  const named = { grey: "with grey pixels there", left_out: "left out of attention" };

  function describe() {
    const { choosing } = state();
    const chosen = region();
    $("choose").setAttribute("aria-pressed", String(choosing));
    $("choose").textContent = choosing ? "Done" : "Choose a region";
    $("go").disabled = !chosen || Boolean(running);
    $("all").disabled = Boolean(running);
    $("stop").hidden = !running;
    const medium = state().data?.media[chosen?.medium ?? state().medium];
    $("moment").hidden = !(medium?.merged_grid[0] > 1);
    if (!chosen) {
      $("region").textContent = choosing
        ? "Drag over the picture; or use the arrow keys, with Shift to stretch, and Enter when it is right."
        : "";
      return;
    }
    const size = chosen.rows[1] - chosen.rows[0] + 1;
    const count = size * (chosen.columns[1] - chosen.columns[0] + 1);
    const [, h, w] = medium.merged_grid;
    $("region").textContent =
      `The region: ${lab.lens().regionText(chosen)}: ${count} of ${h * w} tokens` +
      `${medium.merged_grid[0] > 1 ? " of each step" : ""}.`;
  }

  function choose(on) {
    const lens = lab.lens();
    if (on && state().layer === "resized") lens.set({ layer: "merged" });
    lens.set({ choosing: on, cover: way() });
    if (!on) return;
    const stage = document.querySelector("#lens-picture .lens-stage");
    requestAnimationFrame(() => {
      stage?.scrollIntoView({ block: "nearest" });
      stage?.focus({ preventScroll: true });
    });
  }

  function start(what, more) {
    running = what;
    bringToFront = true;
    found = null;
    picked = -1;
    $("status").textContent =
      what === "map" ? "The blocks are hidden one after the other …" : "The answer is read again …";
    $("found").hidden = true;
    $("progress").hidden = what !== "map";
    $("progress").value = 0;
    describe();
    lab.ask(what, { way: way(), ...more });
  }

  $("choose").addEventListener("click", () => {
    if (state().choosing) return choose(false);
    lab.withItsPrompt(() => choose(true));
  });
  $("go").addEventListener("click", () => {
    const { medium, rows, columns } = region();
    const only = !$("moment").hidden && $("moment").querySelector("input").checked;
    choose(false);
    start("hide", { medium, rows, columns, t: only ? state().t : null });
  });
  $("all").addEventListener("click", () =>
    lab.withItsPrompt(() => {
      lab.lens().set({ choosing: false, region: null });
      start("map", { medium: state().medium });
    }),
  );
  $("stop").addEventListener("click", () => lab.ask("stop"));
  element
    .querySelectorAll("[name=lab-way]")
    .forEach(radio => radio.addEventListener("change", () => lab.lens().set({ cover: way() })));
  lab.fold("hide").addEventListener("toggle", event => {
    if (!event.target.open) lab.lens()?.set({ choosing: false, region: null });
  });

  // Of each word, and of the whole answer at -1: the difference of its log-probability.
  function lost(word) {
    if (found.hidden) {
      const { before, after, all } = found.hidden;
      return word < 0 ? all[1] - all[0] : after[word] - before[word];
    }
    return Math.min(0, ...byBlock(word));
  }
  const byBlock = word => {
    const { before, after, all } = found.map;
    return word < 0 ? all[1].map(value => value - all[0]) : after.map(row => row[word] - before[word]);
  };

  function show(result) {
    $("status").textContent = result.note || "";
    if (result.hidden || result.map) found = result;
    else running = "";
    if (found?.hidden || found?.map?.ended) running = "";
    const { map } = found || {};
    if (map) $("progress").value = map.after.length / map.blocks.length;
    $("progress").hidden = running !== "map";
    if (running === "map" && map)
      $("status").textContent = `${map.after.length} of ${map.blocks.length} blocks are hidden so far.`;
    describe();
    draw();
  }

  function draw() {
    $("found").hidden = !found || Boolean(found.map && !found.map.after.length);
    if ($("found").hidden) return;
    const { words, spaces } = lab.answer();
    const { before, looked } = found.hidden || found.map;
    $("legend").textContent = found.hidden
      ? `Under each word: by how much its log-probability changed, ${named[found.hidden.way]}; and which part of its ` +
        "attention lay on the region."
      : "Under each word: the most that its log-probability fell when one block was hidden. Pick one to see its map.";
    lab.wordButtons(
      $("words"),
      words.slice(0, before.length).map((text, i) => ({
        text,
        number: lab.difference(lost(i)),
        share: looked ? lab.percent(looked[i]) : "",
        strength: Math.max(0, Math.min(1, -lost(i) / 5)),
      })),
      spaces,
      picked,
      i => {
        picked = i;
        bringToFront = true;
        draw();
      },
    );
    $("sentence").textContent = sentence();
    if (found.map) heat();
  }

  function sentence() {
    const { words } = lab.answer();
    const value = lost(picked);
    const what = picked < 0 ? "The whole answer" : `“${words[picked]}”`;
    if (found.map) {
      const worst = byBlock(picked).indexOf(value);
      if (worst < 0) return `${what} loses nothing, whichever block is hidden.`;
      const [top, bottom, left, right] = found.map.blocks[worst];
      const where = lab.lens().regionText({ rows: [top, bottom], columns: [left, right] });
      return `${what} needs ${where} most: without it, it is ${lab.times(value)} (${lab.difference(value)}).`;
    }
    const { before, after, looked, tokens, of } = found.hidden;
    if (picked < 0)
      return `${what} is ${lab.times(value)} without the region (log-probability ${lab.difference(value)}).`;
    return (
      `${what} had a probability of ${lab.percent(Math.exp(before[picked]))}; without the region it is ` +
      `${lab.percent(Math.exp(after[picked]))}: ${lab.times(value)}. ${lab.percent(looked[picked])} of the attention ` +
      `behind it lay there, on ${lab.percent(tokens / of)} of the picture's tokens.`
    );
  }

  // The map over the picture: each block as dark as hiding it changed little.
  function heat() {
    const { key, words } = lab.answer();
    const lens = lab.lens();
    const data = lens.state.data;
    const { medium, blocks, way: how } = found.map;
    if (data?.key !== key || !data.media[medium]) return;
    const [T, h, w] = data.media[medium].merged_grid;
    const falls = byBlock(picked).map(value => Math.max(0, -value));
    const most = Math.max(1e-9, ...falls);
    const cells = new Uint8Array(T * h * w);
    falls.forEach((fall, i) => {
      const [top, bottom, left, right] = blocks[i];
      for (let t = 0; t < T; t++)
        for (let row = top; row <= bottom; row++)
          cells.fill(Math.round((255 * fall) / most), (t * h + row) * w + left, (t * h + row) * w + right + 1);
    });
    const what = picked < 0 ? "the whole answer" : `“${words[picked]}”`;
    lens.setOverlay({
      key,
      name: "Need",
      caption: `How much ${what} needs each block, ${named[how]} in turn: the most is ${lab.difference(-most)}.`,
      media: data.media.map((_, i) => (i === medium ? cells : null)),
      labels: ["0", lab.difference(-most)],
      open: bringToFront,
    });
    bringToFront = false;
  }

  lab.tools.push({
    what: ["hide", "map", "show", ""],
    show,
    reset() {
      if (found?.map && state().overlay?.name === "Need") lab.lens().setOverlay(null);
      found = null;
      running = "";
      picked = -1;
      $("status").textContent = "";
      $("found").hidden = true;
      describe();
    },
  });
  const listen = () => {
    if (!lab.lens()?.on) return setTimeout(listen, 50);
    lab.lens().on("change", names => {
      if (["choosing", "region", "data", "medium"].some(name => names.has(name))) describe();
    });
  };
  listen();
})();
