// Finds the times in the words of an answer: "0:12", "00:01:07", "3.5 s", "1 min 5 s", "from 2 to 4 seconds".
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
        `(?:${NUMBER}(?:${UNIT})?${TO})?${NUMBER}${UNIT}`,
      ].join("|") +
      ")",
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

  const seconds = clock => clock.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);

  // Every time in a text, in its order: {start, end} in characters, {from, to} in seconds.
  function times(text) {
    const found = [];
    for (const match of text.matchAll(TIME)) {
      const [whole, clock, clockTo, minutes, rest, low, high, from, at] = match;
      const start = match.index;
      const end = start + whole.length;
      const before = text.slice(Math.max(0, start - BEFORE), start);
      const behind = text.slice(end, end + BEHIND);
      let span;
      if (clock !== undefined) {
        if (RATIO.test(before) || SHOWN.test(before) || RATIO_BEHIND.test(behind) || OF_DAY.test(behind)) continue;
        span = [seconds(clock), seconds(clockTo ?? clock)];
      } else {
        if (/\d,$/.test(before) || YEARS.test(whole)) continue;
        if (/^\d{1,3}0s$/.test(whole) && DECADE.test(before) && !/^\smark/.test(behind)) continue;
        if (!PLACE.test(before) && (LENGTH.test(before) || LENGTH_BEHIND.test(behind))) continue;
        if (PLACE.test(before) && /^\s(?:long|later|earlier|ago|apart|before|after)\b/.test(behind)) continue;
        if (minutes !== undefined) span = [60 * Number(minutes) + Number(rest)];
        else span = low !== undefined ? [Number(low), Number(high)] : [Number(from ?? at), Number(at)];
      }
      const [first, last = first] = span;
      if (first <= last) found.push({ start, end, from: first, to: last });
    }
    return found;
  }

  ((window.qwen2vl ||= {}).clock ||= {}).times = times;
})();
