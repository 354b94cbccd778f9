// Finds the times in the words of an answer: "0:12", "00:01:07", "3.5 s", "1 min 5 s", "from 2 to 4 seconds",
// "time": 2.5; and which moment of which clip each of them is.
//
// Python finds the same for the boxes of an answer (chat/named_times.py, chat/answer_boxes.py); both are tested with
// tests/ui/chat/named_times.json.
//
// Every quantifier is bounded and what stands around a time is looked at for some characters only, so that a text takes
// as long as it has characters. What only looks like a time is left: "16:9", a score, "for 5 seconds", "4:30 pm".
(() => {
  const CLOCK = "((?:\\d{1,2}:[0-5]\\d|\\d{1,3}):[0-5]\\d(?:\\.\\d{1,3})?)";
  const NUMBER = "(\\d{1,5}(?:\\.\\d{1,3})?)";
  const UNIT = "\\s?(?:seconds?|secs?|s)(?![\\p{L}\\p{N}_'’-])";
  const TO = "\\s{0,2}(?:-|–|—|to|until|through)\\s{0,2}";
  const TIME = new RegExp(
    "(?<![\\p{L}\\p{N}_.:$€£¥#/+\\-−])(?:" +
      [
        `${CLOCK}(?:${TO}${CLOCK})?(?![\\p{L}\\p{N}_:]|\\.\\d)`,
        `(\\d{1,3})\\s?(?:minutes?|mins?|m)\\s?(?:,\\s|and\\s)?${NUMBER}${UNIT}`,
        `(?<=between\\s)${NUMBER}(?:${UNIT})?\\sand\\s${NUMBER}${UNIT}`,
        `${NUMBER}-seconds?(?=\\smark)`,
        `(?:${NUMBER}(?:${UNIT})?${TO})?${NUMBER}${UNIT}`,
      ].join("|") +
      `)|"(?:time|timestamp|seconds)"\\s{0,4}:\\s{0,4}"?(\\d{1,5}(?:\\.\\d{1,17})?)(?![\\d:.])`,
    "giu",
  );
  const BEFORE = 40; // characters before a time that can say what it is
  const BEHIND = 24;
  const ABOUT = "(?:(?:about|around|approximately|roughly|nearly|almost|just|only|the)\\s){0,2}$";
  const PLACE = new RegExp(`\\b(?:at|from|between|until|since|after|timestamps?|time|second)[:\\s]\\s?${ABOUT}`, "i");
  // What is so long, or so much later, and no time of the clip
  const LENGTH = new RegExp(
    "\\b(?:for|lasts?|lasted|lasting|first|last|next|final|every|each|per|takes?|took|taking|over|within|in|of|than|" +
      `duration|length|is|was|a|an|another|additional)[:\\s]\\s?${ABOUT}`,
    "i",
  );
  const LENGTH_BEHIND = new RegExp(
    "^(?:-|\\s)?(?:long|longer|shorter|more|less|later|earlier|ago|apart|before|after|of|in (?:length|total)|clips?|" +
      "videos?|intervals?|delay|pause|each|per)\\b",
    "i",
  );
  const DECADE = /\b(?:the|early|late|mid)[\s-]$/i; // "the 60s"
  const YEARS = /^(?:1[0-9]|20)\d0s$/; // "1960s"
  const RATIO =
    /\b(?:ratios?|aspect|scale|odds|scores?|scored|won|lost|beat|verse|chapter|proportions?)\b[^.!?\n]{0,16}$/i;
  const SHOWN = /\b(?:clock|watch|timer|scoreboard|display)\b[^.!?\n]{0,24}$/i; // read in the picture
  const RATIO_BEHIND = /^\s?(?:ratio|aspect|display|screen|monitor|format|resolution|split|scale|mix|win|loss)\b/i;
  const OF_DAY = /^\s?(?:[ap]\.?m\b|h\b|hrs?\b|o['’]clock)/i;

  // Which clip is meant: "in video 2", "the first clip"
  const ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"];
  const NUMBERED = new RegExp(
    `\\b(?:(?:clip|video)[ _]{1,2}#?(\\d{1,3})|(${ORDINALS.join("|")}) (?:clip|video))\\b`,
    "gi",
  );
  const AFTER_END = 0.05; // s, by which a time may lie behind the end of a clip, as it is written with one digit

  const seconds = clock => clock.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);

  // Every time in a text, in its order: {start, end} in characters, {from, to} in seconds.
  function times(text) {
    const found = [];
    for (const match of text.matchAll(TIME)) {
      const [whole, clock, clockTo, minutes, rest, low, high, mark, first, at, value] = match;
      const end = match.index + whole.length;
      const start = value === undefined ? match.index : end - value.length;
      const before = text.slice(Math.max(0, start - BEFORE), start);
      const behind = text.slice(end, end + BEHIND);
      let span;
      if (clock !== undefined) {
        if (RATIO.test(before) || SHOWN.test(before) || RATIO_BEHIND.test(behind) || OF_DAY.test(behind)) continue;
        span = [seconds(clock), seconds(clockTo ?? clock)];
      } else if (value !== undefined || mark !== undefined) {
        span = [Number(value ?? mark)];
      } else {
        if (/\d,$/.test(before) || YEARS.test(whole)) continue;
        if (/^\d{1,3}0s$/.test(whole) && DECADE.test(before) && !/^\smark/.test(behind)) continue;
        if (!PLACE.test(before) && (LENGTH.test(before) || LENGTH_BEHIND.test(behind))) continue;
        if (PLACE.test(before) && /^\s(?:long|later|earlier|ago|apart|before|after)\b/.test(behind)) continue;
        if (minutes !== undefined) span = [60 * Number(minutes) + Number(rest)];
        else span = low !== undefined ? [Number(low), Number(high)] : [Number(first ?? at), Number(at)];
      }
      const [from, to = from] = span;
      if (from <= to) found.push({ start, end, from, to });
    }
    return found;
  }

  // What a written time is in its clip, or null beyond it. A model that was shown a part, and no times, counts from the
  // part's beginning; a time that this cannot be, but lies in the part, was taken from the question.
  function inClip(clip, { from, to }) {
    const [start, end] = clip.range || [0, clip.duration];
    for (const begin of clip.from ? [clip.from, 0] : [0])
      if (from + begin >= start && to + begin <= end + AFTER_END) return { from: from + begin, to: to + begin };
    return null;
  }

  // Which of the sampled frames of a clip is meant, by its index: the first one within the span, else the nearest to
  // its beginning.
  function frameOf({ times }, { from, to }) {
    const within = times.findIndex(time => time >= from - AFTER_END && time <= to + AFTER_END);
    if (to > from && within >= 0) return within;
    return times.reduce((best, time, i) => (Math.abs(time - from) < Math.abs(times[best] - from) ? i : best), 0);
  }

  // The times of an answer that are moments of a clip: {start, end, clip, from, to}, the last two from the clip's
  // start. `turns` has the clips of each question up to it, in order. The clip is the one that the words name before
  // the time, else behind it, and without a name the first one of the last question that has any.
  function moments(text, turns) {
    const latest = turns.findLast(clips => clips.length);
    if (!latest) return [];
    const all = turns.flat();
    const named = [...text.matchAll(NUMBERED)].map(({ index, 1: digits, 2: word }) => {
      const number = digits ? Number(digits) : ORDINALS.indexOf(word.toLowerCase()) + 1;
      return { index, clip: latest.find(clip => clip.number === number) || all[number - 1] };
    });
    return times(text).flatMap(time => {
      const name = named.findLast(({ index }) => index <= time.start) || named[0];
      const clip = name?.clip || latest[0];
      const place = inClip(clip, time);
      return place ? [{ ...time, clip, ...place }] : [];
    });
  }

  Object.assign(((window.qwen2vl ||= {}).clock ||= {}), { times, moments, frameOf, AFTER_END });
})();
