/**
 * Pictures. One that is part of the text is shown; one from elsewhere only when the reader asks for it: a remote picture
 * tells its server who reads, and can carry what a model was tricked into adding to its address.
 */

/** @typedef {any} Token */

const INLINE = /^data:image\/(?:png|jpeg|gif|webp);base64,[a-z0-9+/=]+$/i;
/** As many characters; larger ones would be laid out and decoded at once. */
const MOST_INLINE = 2 * 1024 * 1024;
const REMOTE = /^https?:\/\/[^/?#]/i;

/**
 * @param {Token} token
 * @param {boolean} inLink then a click follows the link, so nothing is loaded
 * @param {Set<string>} asked addresses that the reader asked for: the text around them is made anew
 * @returns {HTMLElement}
 */
export function image(token, inLink, asked) {
  const src = token.attrGet("src") ?? "";
  const alt = plainText(token.children);
  const title = token.attrGet("title") ?? "";
  if (INLINE.test(src) && src.length <= MOST_INLINE) return picture(src, alt, title);
  const remote = REMOTE.test(src);
  const show = () => {
    const img = picture(src, alt, title);
    img.tabIndex = -1; // the keyboard's place in the text stays where the button was
    return img;
  };
  if (!inLink && asked.has(src)) return show();
  const label = remote ? `image: ${alt ? `${alt} ` : ""}(${hostOf(src)})` : `image: ${alt}`;
  const el = document.createElement(remote && !inLink ? "button" : "span");
  el.className = "nbstream-image";
  // The label is an attribute: what stands in the text is the text.
  el.dataset.label = label;
  el.dataset.alt = alt;
  el.dataset.src = src;
  if (title) el.setAttribute("title", title);
  if (remote && !inLink) {
    el.setAttribute("type", "button");
    el.setAttribute("aria-label", `Load ${label}`);
    el.addEventListener("click", () => {
      asked.add(src);
      const focused = el.ownerDocument.activeElement === el;
      const img = show();
      el.replaceWith(img);
      if (focused) img.focus();
    });
  } else {
    el.setAttribute("role", "img");
    el.setAttribute("aria-label", label);
  }
  return el;
}

/**
 * The words of inline tokens.
 * @param {Token[]} tokens
 * @returns {string}
 */
export function plainText(tokens) {
  return tokens
    .map((token) => {
      if (token.type === "softbreak" || token.type === "hardbreak") return "\n";
      if (token.type === "image") return plainText(token.children);
      return token.nesting === 0 ? token.content : "";
    })
    .join("");
}

/**
 * @param {string} src
 * @param {string} alt
 * @param {string} title
 */
function picture(src, alt, title) {
  const img = document.createElement("img");
  img.setAttribute("referrerpolicy", "no-referrer");
  img.setAttribute("alt", alt);
  if (title) img.setAttribute("title", title);
  img.setAttribute("src", src);
  return img;
}

/** @param {string} src */
function hostOf(src) {
  try {
    return new URL(src).host;
  } catch {
    return src.slice(0, 60);
  }
}
