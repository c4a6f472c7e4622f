/** What the tests of costs look into. */

export { Markdown } from "../src/markdown/markdown.js";
export { parser } from "../src/markdown/parser.js";
