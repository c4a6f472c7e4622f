// Installed in the page before anything else: long tasks, when text is seen, how often and how far the view painted.
(() => {
  const seen = (window.__beside = { long: [], first: null, last: null, flushes: [], began: 0 });
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) seen.long.push([startTime, duration]);
  }).observe({ type: "longtask", buffered: true });

  // The newest text nodes below a node, through shadow roots.
  function* newest(node) {
    if (node.nodeType === Node.TEXT_NODE) yield node.data;
    if (node.nodeName === "STYLE" || node.nodeName === "SCRIPT") return;
    if (node.shadowRoot) yield* newest(node.shadowRoot);
    for (let child = node.lastChild; child; child = child.previousSibling) yield* newest(child);
  }
  // What nobody sees does not count: the saved form beside a widget is hidden. Asked only of an output that has the words:
  // the answer to it lays the page out.
  const look = (outputs, want, most) => {
    for (const output of outputs) {
      let left = most;
      for (const text of newest(output)) {
        if (text.includes(want) && output.offsetParent) return true;
        if (--left <= 0) break;
      }
    }
    return false;
  };
  // `first`: words of the answer's beginning are seen; `last`: its end is, in milliseconds behind the call.
  seen.watch = (cell, first, last) => {
    Object.assign(seen, { long: [], first: null, last: null, flushes: [], began: performance.now() });
    const { node } = window.jupyterapp.shell.currentWidget.content.widgets[cell];
    // Looked at only when something has changed: what a look costs is charged to the way that is measured.
    let changed = true;
    const timer = setInterval(() => {
      if (!changed) return;
      changed = false;
      const outputs = [...node.querySelectorAll(".jp-OutputArea-output")].reverse();
      if (seen.first === null && look(outputs, first, 200)) seen.first = performance.now() - seen.began;
      if (!look(outputs, last, 200)) return;
      clearInterval(timer);
      seen.last = performance.now() - seen.began;
    }, 25);
    new MutationObserver(() => (changed = true)).observe(node, {
      subtree: true, childList: true, characterData: true, attributeFilter: ["style", "class", "hidden"],
    });
    // The DOM contract (docs/protocol.md): `data-chars` counts the characters painted.
    new MutationObserver((changes) => {
      const { target } = changes.at(-1);
      seen.flushes.push([performance.now() - seen.began, Number(target.dataset.chars)]);
    }).observe(node, { subtree: true, attributeFilter: ["data-chars"] });
  };
})();
