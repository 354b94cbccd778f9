// Sharper pixels for what is looked at. A prompt with many pictures, or a long clip, travels with small ones; when one of
// them stands on the stage larger than it came, its own pixels are asked for, once. Pointing never asks.
(() => {
  const lens = window.qwen2vl.lens;
  const WAIT = 250;
  const ENOUGH = 1.25; // ms that a choice must stand; screen pixels a pixel from which it is too coarse
  let timer = null;

  // The image to draw a frame of a medium from: its sharper one where there is one. {image, picture, frame}
  lens.source = (medium, frame) => {
    const clip = medium.kind === "video";
    const sharp = medium.details?.get(clip ? frame >> 1 : 0);
    return sharp?.picture.complete && sharp.picture.naturalWidth
      ? { image: sharp.image, picture: sharp.picture, frame: clip ? frame & 1 : 0 }
      : { image: medium.shown, picture: medium.picture, frame };
  };

  // {digest, t, image}: image holds a picture, or the two frames of step t of a clip.
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
      medium.details.set(t, { picture: {} }); // asked for
      lens.actions.detail(medium.digest, t);
    }, WAIT);
  };
})();
