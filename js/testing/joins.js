/** Random Markdown that is likely to go wrong when it is cut, and random ways of cutting it. */

const WORDS = ["word", "*em*", "**strong**", "`code`", "[link](https://x.test)", "[late]", "[other][late two]", "![p](https://x.test/i.png)", "$x^2$", "\\(y\\)", "😀", "a|b", "~~gone~~", "<br>", "H<sub>2</sub>O", "https://x.test/a_b", "&amp;", "\\*", "$5 to $10", "<b>no</b>", "tab\there", "`", "**", "_a", "]", "[x"];

/** @param {(below: number) => number} random */
export function randomText(random) {
  const one = (list) => list[random(list.length)];
  const words = (most) => Array.from({ length: 1 + random(most) }, () => one(WORDS)).join(" ");
  const lines = (most, lead = "") => Array.from({ length: 1 + random(most) }, () => lead + words(4)).join("\n");
  const indent = (text, by, first = by) => text.split("\n").map((line, i) => (line ? (i ? by : first) + line : line)).join("\n");
  const block = (depth) => {
    switch (random(depth > 2 ? 9 : 15)) {
      case 0:
        return `${"#".repeat(1 + random(6))} ${words(4)}`;
      case 1:
        return one(["```js", "~~~", "````", "```"]) + `\n${lines(random(20) ? 4 : 90)}\n${random(4) ? one(["```", "~~~", "````"]) : ""}`;
      case 2:
        return one(["$$", "\\["]) + `${random(2) ? "\n" : ""}${words(3)}${random(2) ? "\n" : ""}${one(["$$", "\\]", ""])}`;
      case 3:
        return `[${one(["late", "late two", "x"])}]: ${one(["https://x.test/late", "/url 'title'", "<https://x.test>\n'title\nover two'", "/u \"open"])}`;
      case 4:
        return `| a | b |\n|:--|--:|\n${Array.from({ length: random(20) ? random(4) : 60 + random(30) }, () => `| ${words(2)} | ${words(1)} |`).join("\n")}`;
      case 5:
        return one(["---", "***", "===", "- - -", "    code\n\n    more", "| x |", "\tcode", ">", "-", "1)"]);
      case 6:
        return lines(3, one(["", " ", "   ", "    "]));
      case 7:
      case 8:
        return lines(3);
      case 9:
      case 10: {
        const loose = random(3) ? "\n" : "\n\n";
        const marker = one(["-", "*", "+", "1.", "7)", "- [ ]", "-   ", " -", "10. ", "-\t"]);
        const count = random(30) ? 1 + random(3) : 65 + random(20);
        return Array.from({ length: count }, () => {
          const inner = random(5) ? words(4) : blocks(depth + 1, 2);
          const by = " ".repeat(marker.replace(/ \[ \]$/, "").length + 1);
          return indent(inner, random(9) ? by : one(["", " ", "  ", "\t"]), `${marker} `);
        }).join(random(20) ? loose : "\n\n");
      }
      case 11:
      case 12:
        return indent(blocks(depth + 1, random(30) ? 3 : 40), one(["> ", ">", "> ", ">\t"]));
      case 13:
        return random(30) ? words(3) : Array.from({ length: 900 + random(900) }, () => one(WORDS)).join(random(3) ? " " : one(["\n", "  ", "x"]));
      default:
        return indent(blocks(depth + 1, 3), "  ", one(["- ", "* ", "1. "]));
    }
  };
  const blocks = (depth, most) => Array.from({ length: 1 + random(most) }, () => block(depth)).join(random(200) ? one(["\n\n", "\n\n", "\n", "\n\n\n"]) : one(["\n", " \n"]).repeat(5_000));
  let text = blocks(0, random(8) ? 2 : 6);
  const end = one(["\n", "\n", "\n", "\r\n", "\r"]);
  if (end !== "\n") text = text.replaceAll("\n", () => (random(8) ? end : one(["\n", "\r", "\r\n"])));
  return random(3) ? text : text + one(["\n", "\r\n", "\n\n", " ", "\r"]);
}

/**
 * Write a text in pieces, with paints and ends between.
 * @param {any} markdown
 * @param {string} text
 * @param {(below: number) => number} random
 */
export function writeInPieces(markdown, text, random) {
  const most = 1 + Math.ceil((2 * text.length) / (1 + random(random(25) ? 12 : 120)));
  for (let at = 0; at < text.length; ) {
    const next = at + 1 + random(random(4) ? most : 3);
    markdown.write(text.slice(at, next));
    const what = random(10);
    if (what < 7) markdown.paint();
    else if (what === 7) markdown.end();
    at = next;
  }
  markdown.end();
  while (!markdown.paint());
}
