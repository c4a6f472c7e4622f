/** Where a giant paragraph is cut: nobody writes them, but a model may forget its line ends. */

/** A paragraph longer than this loses its first 4 KB to a piece of their own. */
export const GIANT_PARAGRAPH = 8_192;
const LONGEST = 4_096;
const SHORTEST = 1_024;

/**
 * Best behind a line or a word where no emphasis, code, link or formula seems to be open; else behind any; else anywhere.
 * @param {string} text the first 8 KB of it
 * @returns {{length: number, joint: string}} how much to take, and what stands at its end
 */
export function paragraphCut(text) {
  const best = { goodLine: 0, goodWord: 0, line: 0, word: 0 };
  const marks = { "`": 0, "*": 0, _: 0, $: 0, "[": 0, "<": 0 };
  for (let at = 1; at <= LONGEST; at++) {
    const char = text.charAt(at - 1);
    if (char === "]") marks["["]--;
    else if (char === ">") marks["<"] = 0;
    else if (char in marks) marks[/** @type {keyof typeof marks} */ (char)]++;
    if (at < SHORTEST || (char !== "\n" && char !== " ")) continue;
    if (/[\s\\]/.test(text.charAt(at)) || /[\\ ]/.test(text.charAt(at - 2))) continue;
    const closed = marks["["] <= 0 && marks["<"] === 0 && marks["`"] % 2 === 0 && marks["*"] % 2 === 0 && marks._ % 2 === 0 && marks.$ % 2 === 0;
    if (char === "\n") {
      best.line = at;
      if (closed) best.goodLine = at;
    } else {
      best.word = at;
      if (closed) best.goodWord = at;
    }
  }
  if (best.goodLine) return { length: best.goodLine, joint: "\n" };
  if (best.goodWord) return { length: best.goodWord, joint: " " };
  if (best.line) return { length: best.line, joint: "\n" };
  if (best.word) return { length: best.word, joint: " " };
  const pair = /[\ud800-\udbff]/.test(text.charAt(LONGEST - 1));
  return { length: pair ? LONGEST - 1 : LONGEST, joint: /\s$/.test(text.slice(0, LONGEST)) ? " " : "" };
}
