/** Elements of ours around the text. */

/**
 * @param {string} className
 * @param {string} [tag]
 */
export function element(className, tag = "div") {
  const el = document.createElement(tag);
  el.className = className;
  return el;
}

/**
 * A real button.
 * @param {string} name
 * @param {string} [className]
 */
export function button(name, className) {
  const el = document.createElement("button");
  el.type = "button";
  el.textContent = name;
  if (className) el.className = className;
  return el;
}
