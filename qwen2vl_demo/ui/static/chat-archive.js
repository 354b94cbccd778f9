// All kept chats as one ZIP file, and back. In it are index.json (what the list shows), a JSON file for each chat, as
// "Open" takes it, and the files of all chats, each once, under their names in the server's media store.
//
// The ZIP is written without compression, as pictures and clips have theirs already. One that another program packed
// anew is read as well. Format: PKWARE's APPNOTE.TXT, 4.3.
(() => {
  const FORMAT = "qwen2vl-demo chats";
  const FILE = /^[0-9a-f]{64}\.[a-z0-9]{1,5}$/;
  const [LOCAL, ENTRY, END] = [0x04034b50, 0x02014b50, 0x06054b50];
  const UTF8 = 0x800;
  const [STORED, DEFLATED] = [0, 8];
  const LATEST_END = 22 + 65535; // bytes from the end of a ZIP file in which its last record begins
  const NOT_OURS = "This is not a file of chats from “Export all”.";
  const storage = () => window.qwen2vl.chatStorage();

  const TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    return value;
  });
  function crc32(bytes) {
    let crc = -1;
    for (const byte of bytes) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 255];
    return ~crc >>> 0;
  }

  // Little-endian integers of these lengths in bytes.
  function record(...fields) {
    const bytes = [];
    for (const [length, value] of fields) for (let i = 0; i < length; i++) bytes.push((value / 256 ** i) & 255);
    return Uint8Array.from(bytes);
  }

  async function zip(entries) {
    const parts = [];
    const directory = [];
    let offset = 0;
    for (const [path, blob] of entries) {
      const name = new TextEncoder().encode(path);
      const crc = crc32(new Uint8Array(await blob.arrayBuffer()));
      const sizes = [
        [4, crc],
        [4, blob.size],
        [4, blob.size],
        [2, name.length],
        [2, 0],
      ];
      const how = [
        [2, 20],
        [2, UTF8],
        [2, STORED],
        [2, 0],
        [2, 0x21],
      ];
      const local = record([4, LOCAL], ...how, ...sizes);
      parts.push(local, name, blob);
      directory.push(record([4, ENTRY], [2, 20], ...how, ...sizes, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), name);
      offset += local.length + name.length + blob.size;
    }
    const length = directory.reduce((sum, part) => sum + part.length, 0);
    const count = [2, entries.length];
    const end = record([4, END], [2, 0], [2, 0], count, count, [4, length], [4, offset], [2, 0]);
    return new Blob([...parts, ...directory, end], { type: "application/zip" });
  }

  // The entries of a ZIP file by path: functions that resolve to a Blob. Rejects for what is none.
  async function unzip(file) {
    const view = async (from, to) => new DataView(await file.slice(from, to).arrayBuffer());
    const tail = await view(Math.max(0, file.size - LATEST_END), file.size);
    let at = tail.byteLength - 22;
    while (at >= 0 && tail.getUint32(at, true) !== END) at--;
    const start = tail.getUint32(at + 16, true);
    const directory = await view(start, start + tail.getUint32(at + 12, true));
    const entries = new Map();
    for (let place = 0; place < directory.byteLength;) {
      if (directory.getUint32(place, true) !== ENTRY) throw new Error(NOT_OURS);
      const [method, packed] = [directory.getUint16(place + 10, true), directory.getUint32(place + 20, true)];
      const [named, more, comment] = [28, 30, 32].map(field => directory.getUint16(place + field, true));
      const offset = directory.getUint32(place + 42, true);
      const path = new TextDecoder().decode(new Uint8Array(directory.buffer, place + 46, named));
      entries.set(path, async () => {
        const local = await view(offset, offset + 30);
        const from = offset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
        const content = file.slice(from, from + packed);
        if (method !== DEFLATED) return content;
        return new Response(content.stream().pipeThrough(new DecompressionStream("deflate-raw"))).blob();
      });
      place += 46 + named + more + comment;
    }
    return entries;
  }

  // The chat's JSON without what is for this browser alone.
  function publicText(text) {
    const chat = JSON.parse(text.split("\n", 1)[0]);
    delete chat.cache_salt;
    return JSON.stringify(chat);
  }

  async function save() {
    const { chats } = window.qwen2vl;
    const kept = await storage();
    const index = [];
    const entries = [];
    const names = new Set();
    for (const chat of await chats.list()) {
      const text = await chats.textOf(chat.id);
      const { at, title, name, pinned, files, thumb } = chat;
      const words = (name || title || "chat")
        .replace(/[^\p{L}\p{N}]+/gu, " ")
        .trim()
        .slice(0, 60);
      const path = `chats/${String(index.length + 1).padStart(3, "0")} ${words || "chat"}.json`;
      index.push({ path, at, title, name, pinned, files, thumb, growing: text.split("\n")[2] || "" });
      entries.push([path, new Blob([publicText(text)])]);
      files.forEach(file => names.add(file));
    }
    entries.unshift(["index.json", new Blob([JSON.stringify({ format: FORMAT, version: 1, chats: index })])]);
    for (const name of names) {
      const blob = await kept.get("files", name);
      if (blob) entries.push([`media/${name}`, blob]);
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await zip(entries));
    link.download = `chats ${new Date().toISOString().slice(0, 10)}.zip`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  async function isItself(name, blob) {
    if (!crypto.subtle) return true; // plain http from another machine; the server looks as well
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
    return Array.from(digest, byte => byte.toString(16).padStart(2, "0")).join("") === name.split(".")[0];
  }

  async function add(chat, entries, known) {
    const { chats, chatFiles } = window.qwen2vl;
    const kept = await storage();
    const chosen = JSON.parse(await (await entries.get(chat.path)()).text());
    delete chosen.cache_salt;
    if (known.has(JSON.stringify(chosen))) return { there: 1 };
    const id = chats.newId();
    const text = value => (typeof value === "string" ? value : "");
    const files = (Array.isArray(chat.files) ? chat.files : []).filter(name => FILE.test(name));
    const about = { id, title: text(chat.title).slice(0, 120), files, picture: "" };
    const lines = [JSON.stringify({ ...chosen, cache_salt: id }), JSON.stringify(about), text(chat.growing)];
    const thumb = /^data:image\/(webp|png);base64,[\w+/=]+$/.test(chat.thumb) ? chat.thumb : "";
    const [name, pinned, at] = [text(chat.name).slice(0, 120), chat.pinned === true, Number(chat.at) || Date.now()];
    const shown = { id, title: about.title, files, at, name, pinned, thumb, picture: "", lacking: false };
    await kept.write([
      ["texts", id, lines.join("\n")],
      ["chats", id, shown],
    ]);
    let lacking = 0;
    for (const file of files) {
      if (!entries.has(`media/${file}`) || (await kept.get("files", file))) continue;
      const blob = await entries.get(`media/${file}`)();
      if ((await isItself(file, blob)) && (await chatFiles.makeRoom(blob.size, id)))
        await kept.write([["files", file, blob]]);
      else lacking = 1;
    }
    return { added: 1, lacking };
  }

  // Adds the chats of a file; resolves to a sentence that says what became of it.
  async function open(file) {
    const { chats } = window.qwen2vl;
    const sum = { added: 0, there: 0, lacking: 0 };
    try {
      const entries = await unzip(file);
      const index = JSON.parse(await (await entries.get("index.json")()).text());
      if (index.format !== FORMAT || index.version !== 1) return NOT_OURS;
      const known = new Set();
      for (const { id } of await chats.list()) known.add(publicText(await chats.textOf(id)));
      for (const chat of index.chats)
        for (const [key, count] of Object.entries(await add(chat, entries, known))) sum[key] += count;
    } catch {
      return sum.added ? `Only ${sum.added} of the chats could be read.` : NOT_OURS;
    }
    const said = [`Added ${sum.added} ${sum.added === 1 ? "chat" : "chats"}`];
    if (sum.there) said.push(`${sum.there} were here already`);
    if (sum.lacking) said.push(`${sum.lacking} of them without some files, as there is no room`);
    return `${said.join("; ")}.`;
  }

  Object.assign((window.qwen2vl ||= {}), { chatArchive: { save, open } });
})();
