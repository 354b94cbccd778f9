// The files of the chats that this browser keeps: fetched from the server once a chat shows them, given back when it no
// longer has them, and let go, the oldest chat's first, where they would take too much.
(() => {
  const LARGEST = 1e9; // bytes of all files together
  const SHARE = 0.8; // of what the browser grants to this page
  const THUMB = 88; // px, the side of a thumbnail
  const AT_ONCE = 6; // requests beside each other
  const FULL =
    "This browser has no room for all files of this chat. Its words are kept. Delete or unpin others to make " +
    "room.";
  const root = () => String(window.gradio_config?.root || location.origin).replace(/\/$/, "") + "/gradio_api";
  const address = name => `${root()}/file=/chat-media/${name}`; // KEPT in ui/app.py
  const storage = () => window.qwen2vl.chatStorage();
  let queue = Promise.resolve();
  let sizes = null; // in bytes, by name, of the files that are kept; other tabs change it
  const had = new Map(); // chat id -> the names of its files when they were last looked at

  // Those of these files that the server does not have.
  async function missing(names) {
    const rest = [...names];
    const found = [];
    const look = async () => {
      for (let name = rest.pop(); name; name = rest.pop()) {
        const reply = await fetch(address(name), { method: "HEAD", cache: "no-store" });
        if (reply.status === 403 || reply.status === 404) found.push(name);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, look));
    return found;
  }

  // Those of these files that are kept here and that the server does not have.
  async function wanted(names) {
    if (!names?.length) return [];
    const kept = new Set(await (await storage()).keys("files"));
    return missing(names.filter(name => kept.has(name)));
  }

  // Uploads them; resolves to what Gradio calls each. Rejects with the server's sentence.
  async function giveBack(names) {
    const given = [];
    for (const name of names) {
      const form = new FormData();
      form.append("files", await (await storage()).get("files", name), name);
      const reply = await fetch(`${root()}/upload`, { method: "POST", body: form });
      if (!reply.ok) throw new Error(await reply.text());
      const [path] = await reply.json();
      given.push({ path, orig_name: name, meta: { _type: "gradio.FileData" } });
    }
    return given;
  }

  async function measure() {
    const kept = await storage();
    const found = new Map();
    for (const name of await kept.keys("files")) found.set(name, (await kept.get("files", name))?.size || 0);
    return found;
  }

  const used = () => [...sizes.values()].reduce((sum, size) => sum + size, 0);

  // How many more bytes may be kept.
  async function room() {
    const { quota, usage = 0 } = (await navigator.storage?.estimate?.().catch(() => null)) || {};
    return Math.min(LARGEST, quota ? SHARE * quota - Math.max(0, usage - used()) : LARGEST) - used();
  }

  // Whether so many more bytes may be kept for a chat. The files of other chats are let go where they must.
  async function makeRoom(bytes, id) {
    const kept = await storage();
    sizes ||= await measure();
    if (bytes <= (await room())) return true;
    sizes = await measure();
    let missed = bytes - (await room());
    const open = await window.qwen2vl.openChats.elsewhere();
    const chats = (await kept.values("chats")).sort((a, b) => a.at - b.at);
    const stay = chats.filter(chat => chat.id === id || chat.pinned || open.has(chat.id));
    const needed = new Set(stay.flatMap(chat => chat.files));
    const changes = [];
    for (const chat of chats) {
      if (missed <= 0) break;
      const free = stay.includes(chat) ? [] : chat.files.filter(name => sizes.has(name) && !needed.has(name));
      if (!free.length) continue;
      for (const name of free) {
        missed -= sizes.get(name);
        needed.add(name); // another chat may have it as well, and it goes once
        changes.push(["files", name]);
      }
      had.delete(chat.id);
      changes.push(["chats", chat.id, old => old && { ...old, lacking: true }]);
    }
    if (missed > 0) return false;
    await kept.write(changes);
    sizes = null;
    return true;
  }

  async function frameOf(blob) {
    if (!blob.type.startsWith("video/")) return createImageBitmap(blob);
    const video = document.createElement("video");
    video.muted = true;
    video.preload = "auto";
    video.src = URL.createObjectURL(blob);
    try {
      await new Promise((done, failed) => {
        video.onloadeddata = done;
        video.onerror = failed;
        setTimeout(failed, 5000);
      });
      return await createImageBitmap(video);
    } finally {
      URL.revokeObjectURL(video.src);
    }
  }

  // A small square of a picture or of a clip's first frame, as a data URL; "" where the browser cannot draw it.
  async function thumbnail(name) {
    try {
      const reply = await fetch(address(name));
      if (!reply.ok) return "";
      const frame = await frameOf(await reply.blob());
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = THUMB;
      const scale = Math.max(THUMB / frame.width, THUMB / frame.height);
      const [width, height] = [frame.width * scale, frame.height * scale];
      canvas.getContext("2d").drawImage(frame, (THUMB - width) / 2, (THUMB - height) / 2, width, height);
      frame.close();
      return canvas.toDataURL("image/webp", 0.8);
    } catch {
      return "";
    }
  }

  async function fetchAll(id, names, picture, isGone) {
    const kept = await storage();
    const there = new Set(await kept.keys("files"));
    let lacking = false;
    for (const name of names) {
      if (there.has(name) || isGone()) continue;
      const reply = await fetch(address(name), { priority: "low" });
      if (!reply.ok) continue; // it was deleted meanwhile
      const told = Number(reply.headers.get("content-length")); // a proxy may not tell it
      const blob = (await makeRoom(told, id)) ? await reply.blob() : null;
      if (isGone()) return;
      if (blob && (blob.size === told || (await makeRoom(blob.size, id)))) {
        const put = () => sizes?.set(name, blob.size);
        await kept.write([["files", name, blob]]).then(put, () => (lacking = true));
      } else {
        lacking = true;
        if (!blob) await reply.body?.cancel();
      }
    }
    const before = await kept.get("chats", id);
    const drawn = before?.picture === picture && before.thumb;
    const thumb = drawn || !picture ? before?.thumb || "" : await thumbnail(picture);
    if (isGone()) return;
    await kept.write([["chats", id, old => old && { ...old, lacking, thumb, picture: thumb ? picture : "" }]]);
    if (lacking) window.qwen2vl.chats.say(FULL);
    if (!before || before.thumb !== thumb || lacking) window.qwen2vl.chats.changed();
  }

  // Fetches what a chat shows and this browser does not have, one file after the other.
  function keep(id, names, picture, isGone) {
    const list = names.join();
    if (had.get(id) === list) return;
    had.set(id, list);
    queue = queue.then(() => fetchAll(id, names, picture, isGone)).catch(() => had.delete(id));
  }

  // The changes that delete those of these files that no chat but `id` has.
  async function deletions(names, id) {
    const others = (await (await storage()).values("chats")).filter(chat => chat.id !== id);
    const needed = new Set(others.flatMap(chat => chat.files));
    had.delete(id);
    sizes = null;
    return names.filter(name => !needed.has(name)).map(name => ["files", name]);
  }

  // Deletes the files that no chat has: a tab may have been closed between the two.
  async function sweep() {
    const kept = await storage();
    const names = await kept.keys("files");
    const gone = await deletions(names, null);
    if (gone.length) await kept.write(gone);
  }

  // How many bytes all kept files have.
  async function bytes() {
    sizes = await measure();
    return used();
  }

  Object.assign((window.qwen2vl ||= {}), { chatFiles: { wanted, giveBack, keep, deletions, makeRoom, sweep, bytes } });
})();
