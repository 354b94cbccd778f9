// The lens: the panel's views of a prompt, and the state that they share.
//
// A page passes a payload (viz/lens_payload.py) to `lens.show(payload)` and mounts views with `lens.mount(name, root)`.
// Pointing at a token in any view sets `state.at`, and all views are redrawn in the next frame. Views do not refer to
// one another, and nothing is requested from a server. The scripts of this folder are concatenated in the order of
// SCRIPTS in viz/lens_page.py, for the app and for saved pages.
//
// window.qwen2vl.lens
//   show(payload | null)        shows another prompt; null empties the views
//   snapshot()                  plain copies of what is shown: {input_ids, position_ids, tokens, media, medium, layer,
//                               t, at, overlay}; tests compare them with the trace
//   set({medium, layer, t, at, held})
//                               changes the state. layer: "resized" | "patches" | "merged" | "t" | "h" | "w" |
//                               "attention"; t: which temporal patch of a clip; at: null or {token, patch}, token
//                               the index in input_ids, patch 0..3 inside its cell or -1
//   on(event, listener)         "data": another prompt; "change": (set of changed names) => ...
//   light(lit | null)           marks the merged tokens under some boxes of a medium (boxes.js)
//   setAnswer(answer | null)    what the model wrote behind this prompt, {key, tokens: [text], remark}, where `key` is
//                               that of the payload; the view of the prompt shows its tokens
//   setOverlay(overlay | null)  values over the merged tokens, drawn as the layer "Attention":
//        {caption: string,                 one sentence that describes the overlay; shown as text, never as HTML
//         media: [bytes | null, ...]}      for each medium of the payload, in its order: a Uint8Array of its merged
//                                          tokens (t * h * w of them, t outermost, then rows), 0 = none, 255 = most,
//                                          or the same bytes as base64; null for a medium without values
//        optional: key                     the `key` of the payload that it belongs to; ignored if another is shown
//                  labels: [low, high]     labels of the colour bar, instead of "none" and "most"
//                  name: string            of the layer, instead of "Attention"
//                  marks: [{medium, index, text}]
//                                          cells that are ringed, by their index in `media`, and what is said of each
//                  open: true              switches to the layer and to the first medium that has values
//     null removes it, and so does showing a prompt with other media. Returns whether it is shown.
(() => {
  const qwen2vl = (window.qwen2vl ||= {});
  const lens = (qwen2vl.lens = { actions: {}, views: {} });
  const LAYERS = ["resized", "patches", "merged", "t", "h", "w", "attention"];
  const state = (lens.state = { data: null, medium: 0, layer: "resized", t: 0, at: null, held: false });
  Object.assign(state, { overlay: null, answer: null });
  const listeners = { data: [], change: [] };
  let changed = new Set();
  let due = false;

  lens.on = (event, listener) => {
    listeners[event].push(listener);
  };
  const tell = (event, value) => listeners[event].forEach(listener => listener(value));

  // Collects changes and notifies the views once, in the next frame.
  function soon() {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      const names = changed;
      due = false;
      changed = new Set();
      tell("change", names);
    });
  }
  lens.redraw = name => {
    changed.add(name || "size");
    soon();
  };

  lens.set = changes => {
    for (const [name, value] of Object.entries(changes)) {
      if (name === "at" ? same(state.at, value) : state[name] === value) continue;
      state[name] = value;
      changed.add(name);
    }
    if (!LAYERS.includes(state.layer) || (state.layer === "attention" && !state.overlay)) state.layer = "merged";
    const medium = lens.medium();
    if (medium) state.t = Math.max(0, Math.min(state.t, medium.merged_grid[0] - 1));
    if (changed.size) soon();
  };
  const same = (a, b) => a === b || Boolean(a && b && a.token === b.token && a.patch === b.patch);

  lens.medium = () => state.data?.media[state.medium] || null;

  // Points at a token of the prompt; if it belongs to a medium, that medium and its moment are shown.
  lens.point = (token, patch = -1) => {
    if (token === null || token < 0) return lens.set({ at: null });
    const place = state.data?.place(token);
    if (place) lens.set({ medium: place.medium, t: place.t });
    lens.set({ at: { token, patch } });
  };

  lens.show = payload => {
    const old = state.data;
    const kept = lens.medium()?.digest;
    state.data = payload ? lens.decode(payload) : null;
    const media = state.data?.media || [];
    const newest = media.length - 1; // the one that was just attached or asked about
    let again = old && media.length === old.media.length ? media.findIndex(m => m.digest === kept) : -1;
    // Through other eyes, or with another budget, it is the same file with other pixels.
    const place = state.medium;
    if (old && again < 0 && media.length === old.media.length && media[place]?.name === old.media[place]?.name)
      again = place;
    Object.assign(state, { medium: Math.max(0, again >= 0 ? again : newest), at: null, held: false });
    if (again < 0) state.t = 0;
    if (state.overlay && !fits(state.overlay, media)) state.overlay = null;
    if (!state.overlay && state.layer === "attention") state.layer = "merged";
    if (state.answer?.key !== state.data?.key) state.answer = null;
    tell("data", state.data);
    changed.add("data");
    soon();
  };

  lens.setAnswer = answer => {
    state.answer = answer && answer.key === state.data?.key ? answer : null;
    lens.redraw("answer");
  };

  const bytes = values => (typeof values === "string" ? Uint8Array.from(atob(values), c => c.charCodeAt(0)) : values);
  const fits = (overlay, media) =>
    overlay.media.length === media.length &&
    media.every(
      (m, i) => overlay.digests[i] === m.digest && (!overlay.media[i] || overlay.media[i].length === m.merged_tokens),
    );

  lens.setOverlay = overlay => {
    const media = state.data?.media || [];
    let next = null;
    if (overlay && (!overlay.key || overlay.key === state.data?.key)) {
      next = {
        caption: String(overlay.caption || ""),
        labels: overlay.labels || ["none", "most"],
        name: String(overlay.name || "Attention"),
        marks: overlay.marks || [],
        media: overlay.media.map(v => v && bytes(v)),
        digests: media.map(m => m.digest),
      };
      if (!fits(next, media)) next = null;
    }
    state.overlay = next;
    changed.add("overlay");
    if (next && overlay.open) {
      const first = next.media.findIndex(Boolean);
      if (first >= 0 && !next.media[state.medium]) lens.set({ medium: first });
      lens.set({ layer: "attention" });
    } else lens.set({});
    soon();
    return Boolean(next);
  };

  lens.snapshot = () => {
    const { data, medium, layer, t, at, overlay } = state;
    if (!data) return null;
    return {
      key: data.key,
      draft: data.draft,
      eyes: data.eyes,
      rope_delta: data.rope_delta,
      context_length: data.context_length,
      input_ids: [...data.input_ids],
      position_ids: data.position_ids.map(axis => [...axis]),
      tokens: [...data.tokens],
      media: data.media.map(({ picture, base, details, ...numbers }) => ({
        ...numbers,
        shown: undefined,
        original: undefined,
      })),
      medium,
      layer,
      t,
      at: at && { ...at },
      overlay: overlay && overlay.media.map(v => v && [...v]),
    };
  };

  lens.mount = (name, root, actions = {}) => {
    if (!root || root.dataset.mounted) return;
    root.dataset.mounted = name;
    Object.assign(lens.actions, actions);
    lens.views[name](root);
    changed.add("data");
    soon();
  };
})();
