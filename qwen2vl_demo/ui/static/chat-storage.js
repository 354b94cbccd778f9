// Where this browser keeps chats: IndexedDB, or memory until the page is closed where that is blocked.
//
// Three stores of values by key: "chats" (what the list shows of one: id, at, title, name, pinned, thumb, files, ...),
// "texts" (the chat itself, as ui/chat/kept_chat.py writes it, by the chat's id) and "files" (Blobs, by their name in
// the server's media store, which is the SHA-256 of the content and an ending).
(() => {
  const STORES = ["chats", "texts", "files"];
  const WAIT = 8000; // ms after which a database that does not open counts as blocked

  const result = request =>
    new Promise((done, failed) => {
      request.onsuccess = () => done(request.result);
      request.onerror = () => failed(request.error);
    });

  function openDatabase() {
    return new Promise((done, failed) => {
      const request = indexedDB.open("qwen2vl", 1);
      request.onupgradeneeded = () => STORES.forEach(name => request.result.createObjectStore(name));
      request.onsuccess = () => done(request.result);
      request.onerror = request.onblocked = () => failed(request.error);
      setTimeout(failed, WAIT);
    });
  }

  function inDatabase(database) {
    database.onversionchange = () => database.close();
    const read = (name, act) => result(act(database.transaction(name).objectStore(name)));
    return {
      lasting: true,
      get: (name, key) => read(name, store => store.get(key)),
      keys: name => read(name, store => store.getAllKeys()),
      values: name => read(name, store => store.getAll()),
      // Applies [store, key, value] in one transaction, all or nothing; no value deletes. A function gets the value
      // that is there and returns the new one.
      write: changes =>
        new Promise((done, failed) => {
          const transaction = database.transaction(STORES, "readwrite");
          transaction.oncomplete = () => done();
          transaction.onabort = transaction.onerror = () => failed(transaction.error);
          const put = (store, key, value) => (value === undefined ? store.delete(key) : store.put(value, key));
          for (const [name, key, value] of changes) {
            const store = transaction.objectStore(name);
            if (typeof value !== "function") put(store, key, value);
            else store.get(key).onsuccess = event => put(store, key, value(event.target.result));
          }
        }),
    };
  }

  function inMemory() {
    const stores = Object.fromEntries(STORES.map(name => [name, new Map()]));
    return {
      lasting: false,
      get: async (name, key) => stores[name].get(key),
      keys: async name => [...stores[name].keys()],
      values: async name => [...stores[name].values()],
      write: async changes => {
        for (const [name, key, value] of changes) {
          const made = typeof value === "function" ? value(stores[name].get(key)) : value;
          if (made === undefined) stores[name].delete(key);
          else stores[name].set(key, made);
        }
      },
    };
  }

  async function openStorage() {
    try {
      return inDatabase(await openDatabase());
    } catch {
      return inMemory();
    }
  }

  const opened = openStorage();
  Object.assign((window.qwen2vl ||= {}), { chatStorage: () => opened });
})();
