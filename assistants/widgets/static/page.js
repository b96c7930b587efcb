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
 * `snapshot(state)` draws everything, `item(item)` what is new.
 */
function listen(model, { snapshot, item }) {
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
    if (message.kind === "snapshot" && message.page === page) {
      seq = message.seq;
      waiting = [];
      snapshot(message);
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

/**
 * What a page wishes of Python, which says when it has heard it: a cell may keep it from that for
 * as long as it likes.
 *
 * `send(wish, heard)` calls `heard()` then. `element` says that the kernel is waited for, and
 * `refused(wish)` hears of a wish that Python would not fulfil; the notice says why.
 */
function talk(model, refused = () => {}) {
  const page = Math.random().toString(36).slice(2);
  const element = h("span", { class: "status", role: "status" });
  const wishes = new Map(); // by number, the last ones
  const unheard = new Map();
  let count = 0;
  let timer = 0;

  function send(wish, heard = () => {}) {
    wishes.set(++count, wish);
    wishes.delete(count - 20);
    unheard.set(count, heard);
    if (!timer) timer = setTimeout(() => setText(element, "Waiting for the kernel …"), 400);
    model.send({ ...wish, nth: count, page });
  }

  function hear({ kind, nth, page: whose }) {
    if (whose !== page) return;
    if (kind === "refused" && wishes.has(nth)) refused(wishes.get(nth));
    if (kind !== "heard") return;
    unheard.get(nth)?.();
    unheard.delete(nth);
    if (!unheard.size) rest();
  }

  /** Nothing is waited for any more. */
  function rest() {
    clearTimeout(timer);
    timer = 0;
    setText(element, "");
  }

  function off() {
    rest();
    model.off("msg:custom", hear);
  }

  model.on("msg:custom", hear);
  return { send, element, rest, off };
}

const GONE = ["restarting", "autorestarting", "terminating", "dead"];

/** Call `gone` once nobody is left to answer: the kernel was restarted, has died, or was shut down. */
function whenGone(model, gone) {
  const kernel = model.widget_manager.kernel; // JupyterLab's; elsewhere the model alone tells
  const heard = (_, status) => { if (GONE.includes(status)) gone(); };
  model.on("comm_live_update", gone);
  model.on("comm:close", gone);
  kernel?.statusChanged.connect(heard);
  kernel?.disposed.connect(gone);
  return () => {
    model.off("comm_live_update", gone);
    model.off("comm:close", gone);
    kernel?.statusChanged.disconnect(heard);
    kernel?.disposed.disconnect(gone);
  };
}

/** Let no control pretend that somebody hears it; what can be copied can still be copied. */
function disable(root) {
  for (const control of root.querySelectorAll(":is(button:not(.copy), input, textarea, select)")) {
    control.disabled = true;
  }
}

const VIEW = "application/vnd.jupyter.widget-view+json";

/**
 * Keep the copy in the notebook up to date that is read without a kernel.
 *
 * Python does so itself, but a page that was reloaded, or a second tab, does not hear of it:
 * JupyterLab forgets which output an update is for. So a copy that is behind is written here.
 */
function keepCopy(model) {
  let timer = 0;

  function found() {
    const [id] = model.get("fallback");
    for (const cell of model.widget_manager.context?.model?.cells ?? []) {
      for (let at = 0; at < (cell.outputs?.length ?? 0); at++) {
        if (cell.outputs.get(at).data[VIEW]?.model_id !== id) continue;
        const number = cell.outputs.get(at + 1)?.metadata.assistants; // it stands right below
        return number === undefined ? null : { outputs: cell.outputs, at: at + 1, number };
      }
    }
    return null;
  }

  function look() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const copy = found();
      if (copy && copy.number < model.get("fallback")[1]) model.send({ do: "fallback" });
    }, 1000); // Python's own update comes first, where it comes at all
  }

  function heard(message) {
    const copy = message.kind === "fallback" && found();
    if (copy && copy.number < message.metadata.assistants) {
      copy.outputs.set(copy.at,
        { output_type: "display_data", data: message.data, metadata: message.metadata });
    }
  }

  model.on("change:fallback", look);
  model.on("msg:custom", heard);
  look();
  return () => {
    clearTimeout(timer);
    model.off("change:fallback", look);
    model.off("msg:custom", heard);
  };
}
