// Which chats are open in which tabs, so that two tabs never show the same one.
//
// A tab holds a Web Lock for the chat it shows, which the browser releases however the tab ends. Where there are none
// (plain http from another machine) tabs ask each other and wait a moment for answers.
(() => {
  const OPEN = "qwen2vl.open.";
  const REPLY = 150; // ms that another tab has to answer
  const locks = navigator.locks;
  const channel = typeof BroadcastChannel === "function" ? new BroadcastChannel("qwen2vl.open") : null;
  const held = new Map(); // what this tab shows: key -> the function that releases it

  channel?.addEventListener("message", ({ data }) => {
    if (data.asked) channel.postMessage({ held: [...held.keys()] });
  });

  // The keys that other tabs hold.
  async function elsewhere() {
    if (locks) {
      const names = (await locks.query()).held.map(lock => lock.name).filter(name => name.startsWith(OPEN));
      return new Set(names.map(name => name.slice(OPEN.length)).filter(key => !held.has(key)));
    }
    const found = new Set();
    if (!channel) return found;
    const collect = ({ data }) => data.held?.forEach(key => found.add(key));
    channel.addEventListener("message", collect);
    channel.postMessage({ asked: true });
    await new Promise(done => setTimeout(done, REPLY));
    channel.removeEventListener("message", collect);
    return found;
  }

  // Resolves to whether this tab has the key now; it keeps it until `release`.
  async function hold(key) {
    if (held.has(key)) return true;
    if (!locks) {
      if ((await elsewhere()).has(key)) return false;
      held.set(key, () => {});
      return true;
    }
    return new Promise(done => {
      locks
        .request(OPEN + key, { ifAvailable: true }, lock => {
          if (!lock) return done(false);
          return new Promise(release => {
            held.set(key, release);
            done(true);
          });
        })
        .catch(() => done(false));
    });
  }

  function release(key) {
    held.get(key)?.();
    held.delete(key);
  }

  Object.assign((window.qwen2vl ||= {}), { openChats: { elsewhere, hold, release } });
})();
