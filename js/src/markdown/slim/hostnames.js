/** Host names, in place of the package `punycode.js`: the page's URL parser writes them in ASCII. */

export default {
  /** @param {string} host */
  toASCII(host) {
    return /^[\x21-\x7e]*$/.test(host) ? host : new URL(`http://${host}`).hostname;
  },
  /** A host that looks like another one is better seen as it is. @param {string} host */
  toUnicode(host) {
    return host;
  },
};
