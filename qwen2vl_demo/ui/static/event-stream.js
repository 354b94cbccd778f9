// Closes a gap in Gradio's event stream, in which an event is lost.
//
// Events join the queue with a POST, and what they yield comes in one stream for the tab. The server ends that stream
// with the message "close_stream" as soon as no event is left. An event that joins between that moment and the one in
// which the client reads the message belongs to no stream: the client still takes the old one for open and does not ask
// for another, so that the panel, or an answer, waits for ever. Here the message is held back until the replies to all
// joins have arrived; if one of these events has not ended, the stream is opened again and goes on in place of the old.
(() => {
  const plainFetch = window.fetch.bind(window);
  const joining = new Set(); // promises of the replies to joins
  const unfinished = new Set(); // ids of the events that joined and have not ended
  const ended = new Set(); // ids of those that ended before the reply to their join was read
  const beginOf = message => message.slice(0, 200); // the kind and the id stand before the data

  async function join(request) {
    const reply = plainFetch(...request);
    const noted = reply
      .then(response => response.clone().json())
      .then(({ event_id }) => event_id && !ended.delete(event_id) && unfinished.add(event_id))
      .catch(() => {})
      .finally(() => joining.delete(noted));
    joining.add(noted);
    const response = await reply;
    await noted;
    return response;
  }

  // The messages of a stream, each with the empty line behind it.
  async function* messages(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) yield part + "\n\n";
      }
    } finally {
      reader.cancel().catch(() => {});
    }
    if (rest) yield rest;
  }

  async function* withoutGap(response, open) {
    let given = new Set(); // ids that were waited for already
    for (;;) {
      let close = null;
      let first = given.size > 0;
      for await (const message of messages(response)) {
        // Read to its end: the server takes a connection that is closed before for a tab that was, and forgets events.
        if (close !== null) continue;
        const begin = beginOf(message);
        if (begin.includes('"close_stream"') || (first && begin.includes('"unexpected_error"'))) {
          close = message;
          continue;
        }
        first = false;
        if (begin.includes('"process_completed"')) {
          const id = /"event_id":"([^"]+)"/.exec(begin)?.[1];
          if (id && !unfinished.delete(id)) ended.add(id);
        }
        yield message;
      }
      if (close === null) return;
      while (joining.size) await Promise.all(joining);
      const late = [...unfinished].filter(id => !given.has(id));
      if (!late.length) {
        unfinished.clear(); // the server knows of none
        ended.clear();
        yield 'data: {"msg":"close_stream","event_id":null}\n\n';
        return;
      }
      given = new Set(late);
      response = await open();
    }
  }

  async function data(request) {
    const response = await plainFetch(...request);
    if (!response.ok || !response.body) return response;
    const { url, signal, headers } = new Request(...request);
    const joined = withoutGap(response, () => plainFetch(url, { signal, headers }));
    const encoder = new TextEncoder();
    const body = new ReadableStream({
      async pull(controller) {
        try {
          const { done, value } = await joined.next();
          if (done) controller.close();
          else controller.enqueue(encoder.encode(value));
        } catch (error) {
          controller.error(error);
        }
      },
      cancel: () => joined.return(),
    });
    return new Response(body, response);
  }

  window.fetch = (...request) => {
    const url = String(request[0]?.url || request[0]).split("?")[0];
    if (url.endsWith("/queue/join")) return join(request);
    return url.endsWith("/queue/data") ? data(request) : plainFetch(...request);
  };
})();
