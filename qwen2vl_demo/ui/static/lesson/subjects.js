// What the lesson is about: a picture or a clip of the learner's own, which is the newest one of the chat or of the
// line below it, or one that was prepared. A subject is plain numbers, and the images that it is drawn from:
//   {key, name, kind: "image" | "video", own, height, width, question,
//    still: source,                       the picture as it came; of a clip its first frame
//    clip: null | {frames, seconds, total, height, width, source(frame) -> source}}
// A source is {image, rect: [x, y, width, height]}, a part of an image that may still be loading.
(() => {
  const lens = window.qwen2vl.lens;
  const lesson = window.qwen2vl.lesson;
  const subjects = (lesson.subjects = { prepared: [], own: null });
  const loaded = new Map();

  function load(uri) {
    let image = loaded.get(uri);
    if (!image) {
      image = new Image();
      image.onload = () => lesson.redraw();
      image.src = uri;
      loaded.set(uri, image);
    }
    return image;
  }

  const address = path => {
    const root = (window.gradio_config?.root || "").replace(/\/$/, "");
    return `${root}/gradio_api/file=${path.split("/").map(encodeURIComponent).join("/")}`;
  };

  // `records` are those of ui/lesson/prepared.py.
  subjects.prepare = records => {
    subjects.prepared = records.map(record => {
      const [height, width] = record.size;
      const picture = { ...record, own: false, height, width };
      if (record.kind === "image") {
        return { ...picture, clip: null, still: { uri: address(record.file), rect: [0, 0, width, height] } };
      }
      const sheet = record.sheet;
      const source = frame => ({ uri: sheet.uri, rect: lens.frameRect(sheet, frame) });
      return {
        ...picture,
        still: source(0),
        clip: { name: record.name, height, width, frames: sheet.count, ...record.clip, source },
      };
    });
  };

  // The newest picture or clip that the panel shows; null where there is none.
  subjects.newest = () => {
    const attached = lens.state.data?.attached.at(-1);
    if (!attached) return null;
    const { kind, name, frames, first: medium } = attached;
    const [height, width] = medium.original_size;
    const shown = medium.original || medium.shown;
    const still = { image: medium.base || medium.picture, rect: lens.frameRect(shown, 0) };
    const subject = { key: "own", name, kind, own: true, height, width, still, clip: null };
    if (kind === "video") {
      const source = frame => {
        const { medium, at } = frames[frame];
        return { image: medium.picture, rect: lens.frameRect(medium.shown, at) };
      };
      const timestamps = frames.map(({ time }) => time);
      const seconds = timestamps.at(-1) - timestamps[0];
      subject.clip = { name, height, width, frames: frames.length, seconds, source };
      Object.assign(subject.clip, { total: medium.total_frames, timestamps });
    }
    return { ...subject, digest: medium.digest, question: lesson.asked() };
  };

  // The image of a source once it is there, or null. A prepared one is loaded when it is first drawn.
  subjects.image = source => {
    const image = source.image || load(source.uri);
    if (image.complete && image.naturalWidth) return image;
    image.addEventListener("load", () => lesson.redraw(), { once: true });
    return null;
  };

  // The clip that the lesson shows: the subject's own, or the prepared one.
  subjects.clipOf = subject => subject.clip || subjects.prepared.find(({ clip }) => clip)?.clip || null;
})();
