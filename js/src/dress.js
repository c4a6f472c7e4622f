/** The looks of what a bundle shows, in whatever document or shadow root the host has put it. */

/** Documents and shadow roots that have our sheet. @type {WeakSet<Document | ShadowRoot>} */
const dressed = new WeakSet();

/**
 * One sheet for all views. Made by a script where that is possible: some hosts' policy forbids a `<style>`.
 * @param {HTMLElement} el
 * @param {string} css
 */
export function dress(el, css) {
  const root = el.getRootNode();
  const place = root instanceof ShadowRoot ? root : document;
  if (dressed.has(place)) return;
  dressed.add(place);
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    place.adoptedStyleSheets = [...place.adoptedStyleSheets, sheet];
  } catch {
    const style = document.createElement("style"); // Safari before 16.4
    style.textContent = css;
    (place === document ? document.head : place).append(style);
  }
}
