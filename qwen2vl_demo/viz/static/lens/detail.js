// Full-resolution images on demand. The payload of many pictures, or of a long clip, contains reduced ones; when one of
// them is shown larger than it was sent, its full resolution is requested, once. Pointing makes no request.
(() => {
  const lens = window.qwen2vl.lens;
  const WAIT = 250; // ms that a medium must be shown before its image is requested
  const ENOUGH = 1.25; // screen pixels per image pixel up to which the reduced image is sharp enough
  let timer = null;

  // The image to draw a frame of a medium from, in full resolution if it has been loaded: {image, picture, frame}.
  lens.source = (medium, frame) => {
    const clip = medium.kind === "video";
    const sharp = medium.details?.get(clip ? frame >> 1 : 0);
    return sharp?.picture.complete && sharp.picture.naturalWidth
      ? { image: sharp.image, picture: sharp.picture, frame: clip ? frame & 1 : 0 }
      : { image: medium.shown, picture: medium.picture, frame };
  };

  // detail: {digest, t, image}, where image holds a picture or the two frames of step t of a clip.
  lens.sharpen = detail => {
    for (const medium of lens.state.data?.media || []) {
      if (medium.digest !== detail?.digest) continue;
      medium.details ||= new Map();
      medium.details.set(detail.t, { image: detail.image, picture: lens.loaded(detail.image) });
    }
  };

  lens.wantDetail = box => {
    const { medium } = box;
    const { t } = lens.state;
    clearTimeout(timer);
    if (!lens.actions.detail || medium.shown.scale === 1 || medium.details?.has(t)) return;
    if (box.width * (window.devicePixelRatio || 1) < medium.shown.width * ENOUGH) return;
    timer = setTimeout(() => {
      if (lens.medium() !== medium || lens.state.t !== t) return;
      medium.details ||= new Map();
      medium.details.set(t, { picture: {} }); // requested
      lens.actions.detail(medium.digest, t);
    }, WAIT);
  };
})();
