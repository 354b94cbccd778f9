// Keeps the settings in this browser: those that differ from what the page starts with.
(() => {
  const KEPT = "qwen2vl.settings";
  let defaults = null; // by key, as the page was drawn
  let restored = false; // before that, what the page shows is not what was chosen

  const same = (a, b) => JSON.stringify(a ?? "") === JSON.stringify(b ?? "");

  // What was kept, as JSON; `values` are those of `keys` before it comes back.
  function recall(keys, values) {
    defaults = Object.fromEntries(keys.map((key, i) => [key, values[i]]));
    try {
      return localStorage.getItem(KEPT) || "";
    } catch {
      return "";
    }
  }

  function begin() {
    restored = true;
  }

  function keep(keys, values) {
    if (!restored) return;
    const chosen = keys.map((key, i) => [key, values[i]]).filter(([key, value]) => !same(value, defaults[key]));
    try {
      if (chosen.length) localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(chosen)));
      else localStorage.removeItem(KEPT);
    } catch {} // storage is blocked: they last as long as the page
  }

  Object.assign((window.qwen2vl ||= {}), { settings: { recall, begin, keep } });
})();
