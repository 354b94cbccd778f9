// Keeps the settings in this browser: those that differ from what the page starts with.
(() => {
  const KEPT = "qwen2vl.settings";
  let restored = false; // before that, what the page shows is not what was chosen

  const same = (a, b) => JSON.stringify(a ?? "") === JSON.stringify(b ?? "");

  // What was kept, as JSON.
  function recall() {
    try {
      return localStorage.getItem(KEPT) || "";
    } catch {
      return "";
    }
  }

  function begin() {
    restored = true;
  }

  // `values` are in the order of the keys of `first`, what the page starts with; a model that was chosen has others.
  function keep(first, values) {
    if (!restored) return;
    const defaults = { ...first, ...window.qwen2vl.models?.defaults() };
    const chosen = Object.keys(first).map((key, i) => [key, values[i]]);
    const changed = chosen.filter(([key, value]) => !same(value, defaults[key]));
    try {
      if (changed.length) localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(changed)));
      else localStorage.removeItem(KEPT);
    } catch {} // storage is blocked: they last as long as the page
  }

  Object.assign((window.qwen2vl ||= {}), { settings: { recall, begin, keep } });
})();
