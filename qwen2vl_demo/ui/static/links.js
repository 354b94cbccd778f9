// Addresses that open a place of the page, and the buttons that copy them:
//   ?tab=rotation        a tab of the panel, by its name
//   ?layer=tokens        what the tab Picture shows over the picture, by name or by number from 1
//   ?example=chart       an example, asked in a new chat
//   ?chat=where          a prepared chat with its answers, as a new chat
//   ?learn=4&example=... a step of the lesson, which lesson/state.js reads
// An example or a prepared chat leaves the address when it has been opened, so that a reload does not ask again.
(() => {
  const LAYERS = ["resized", "patches", "tokens", "t", "h", "w", "attention"];
  const KEY = { tokens: "merged" }; // of the lens, where it has another name
  const SAID = 2000; // ms for which a button says that it copied
  const DRAWN = 120; // frames until a tab that was pressed is drawn
  const NAMES = ["learn", "tab", "layer", "example", "chat"];
  // What can be named, as the component in ui/layout.py tells it: each [{key, label, questions, files: [SHA-256, by
  // which the store names a file]}]
  const targets = () => window.qwen2vl.linkTargets || { examples: [], chats: [] };
  let kept = ""; // the shown chat, as the browser keeps it

  const asked = () => new URLSearchParams(location.search);
  // The button of a tab; those that do not fit stand in a menu, where they have no ids.
  const tabOf = name =>
    [...document.querySelectorAll('#panel-tabs :is([role="tab"], .overflow-dropdown button)')].find(
      button => button.textContent.trim().toLowerCase() === name,
    );

  // Opens a tab of the panel; on a narrow window, where the panel stands below the chat, it is brought into view.
  function openTab(name, frames = DRAWN) {
    const button = tabOf(name);
    if (!button) return frames && requestAnimationFrame(() => openTab(name, frames - 1));
    button.click();
    const side = document.querySelector("#side");
    if (side && side.getBoundingClientRect().top >= innerHeight - 1) side.scrollIntoView();
  }

  function openLayer(name) {
    const number = Number(name);
    const layer = Number.isInteger(number) && number > 0 ? LAYERS[number - 1] : LAYERS.find(one => one === name);
    if (layer) window.qwen2vl.lens?.set({ layer: KEY[layer] || layer });
  }

  // What the address asks for, once the chat of this browser is shown.
  function begin() {
    const wanted = asked();
    if (wanted.has("tab")) openTab(wanted.get("tab").toLowerCase());
    if (wanted.has("layer")) openLayer(wanted.get("layer").toLowerCase());
    if (wanted.has("learn")) return; // its example is the lesson's
    for (const kind of ["example", "chat"]) {
      const key = wanted.get(kind);
      if (!targets()[`${kind}s`].some(target => target.key === key)) continue;
      const address = new URL(location.href);
      ["example", "chat"].forEach(name => address.searchParams.delete(name));
      history.replaceState(history.state, "", address);
      window.qwen2vl.askLinked({ kind, key });
      return;
    }
  }

  // The address of this page with other parameters.
  function address(parameters) {
    const made = new URL(location.href);
    NAMES.forEach(name => made.searchParams.delete(name));
    Object.entries(parameters).forEach(([name, value]) => value && made.searchParams.set(name, value));
    made.hash = "";
    return made.href;
  }

  // The prepared chat or the example that the shown chat began with: {chat: key}, {example: key} or {}.
  function source() {
    let turns = [];
    try {
      turns = JSON.parse(kept.split("\n", 1)[0]).turns;
    } catch {} // no chat
    const begins = ({ questions, files }) =>
      questions.every((question, i) => turns[i]?.question === question) &&
      files.every((file, i) => turns[0].media[i]?.file.startsWith(file));
    for (const kind of ["chat", "example"]) {
      const found = targets()[`${kind}s`].find(begins);
      if (found) return { [kind]: found.key };
    }
    return {};
  }

  // The address of what the panel shows.
  function ofPanel() {
    const open = [...document.querySelectorAll('#panel-tabs [role="tabpanel"]')].find(panel => panel.offsetParent);
    const tab = open?.id.replace("tab-", "");
    const layer = window.qwen2vl.lens?.state.layer;
    const name = LAYERS.find(one => (KEY[one] || one) === layer);
    return address({ tab, layer: tab === "picture" && name !== "attention" && name, ...source() });
  }

  // Copies an address, and says so on the button; where the browser refuses, the address can be copied by hand.
  async function copy(link, button) {
    const label = button.textContent;
    try {
      await window.qwen2vl.toClipboard(link);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = label), SAID);
    } catch {
      prompt("The link to this place:", link);
    }
  }

  Object.assign((window.qwen2vl ||= {}), {
    links: {
      begin,
      openTab,
      address,
      copy,
      ofPanel,
      targets,
      remember: text => (kept = text),
    },
  });
})();
