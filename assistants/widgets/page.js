// What the pages of all live widgets share: elements, and the talk with Python.

/** An element. Text is set as text; a function is a listener; `null` leaves a thing out. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name in element && name !== "list" && name !== "form") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** The only way for HTML into the page: it was made by markdown.py, which lets nothing run. */
function fromPython(element, html) {
  element.innerHTML = html;
}

/** Write text so that only what changed is touched. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Batches from Python, in order and without a gap; drawn when the browser draws.
 *
 * `whole(state)` draws everything, `item(item)` what is new.
 */
function listen(model, { whole, item }) {
  const page = Math.random().toString(36).slice(2);
  let seq = null;
  let asked = 0;
  let waiting = [];
  let frame = 0;

  function ask() {
    asked = performance.now();
    seq = null;
    waiting = [];
    model.send({ do: "resync", page });
  }

  function draw() {
    frame = 0;
    const items = waiting;
    waiting = [];
    for (const each of items) item(each);
  }

  function heard(message) {
    if (message.kind === "whole" && message.page === page) {
      seq = message.seq;
      waiting = [];
      whole(message);
    } else if (message.kind === "batch") {
      if (seq === null) return void (performance.now() - asked > 5000 && ask());
      if (message.seq <= seq) return;
      if (message.seq !== seq + 1) return ask();
      seq = message.seq;
      waiting.push(...message.items);
      if (document.hidden) draw();
      else if (!frame) frame = requestAnimationFrame(draw);
    }
  }

  model.on("msg:custom", heard);
  ask();
  return () => {
    model.off("msg:custom", heard);
    cancelAnimationFrame(frame);
  };
}
