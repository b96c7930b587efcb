// Markdown from Python, so that nothing in it is wider than its place.

/** Put safe HTML into an element; code and tables scroll on their own, with the keyboard too. */
function dress(element, html) {
  fromPython(element, html);
  for (const wide of element.querySelectorAll("pre, table")) {
    const frame = h("div", { class: wide.tagName === "PRE" ? "code" : "wide", tabIndex: 0 });
    wide.replaceWith(frame);
    frame.append(wide);
  }
}
