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

  // `values` are in the order of the keys of `defaults`.
  function keep(defaults, values) {
    if (!restored) return;
    const chosen = Object.keys(defaults).map((key, i) => [key, values[i]]);
    const changed = chosen.filter(([key, value]) => !same(value, defaults[key]));
    try {
      if (changed.length) localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(changed)));
      else localStorage.removeItem(KEPT);
    } catch {} // storage is blocked: they last as long as the page
  }

  Object.assign((window.qwen2vl ||= {}), { settings: { recall, begin, keep } });
})();
