// Markdown from Python, so that nothing in it is wider than its place.

/** Put safe HTML into an element; code and tables scroll on their own, with the keyboard too. */
function dress(element, html) {
  fromPython(element, html);
  for (const wide of element.querySelectorAll("pre, table")) {
    const code = wide.tagName === "PRE";
    const frame = h("div", { class: code ? "code" : "wide" });
    wide.replaceWith(frame);
    frame.append(wide);
    (code ? wide : frame).tabIndex = 0; // what scrolls must be reachable without a mouse
  }
}
