// The page of Chat and Compare. Columns and state are drawn from traits, texts from batches.

function render({ model, el }) {
  const compare = model.get("kind") === "compare";
  const columns = new Map();
  const answers = new Map(); // by id, whichever column they stand in
  const status = h("span", { class: "status" });
  const announcer = h("div", { class: "heard", "aria-live": "polite", role: "status" });
  const notice = h("div", { class: "notice", role: "alert", hidden: true });
  const grid = h("div", { class: "grid", tabIndex: 0, role: "group", "aria-label": "Answers" });

  const question = h("textarea", { rows: 2, "aria-label": compare ? "Question to all" : "Message",
    placeholder: compare ? "Ask all of them …" : "Write a message …" });
  const repeats = h("input", { type: "number", min: 1, max: 50, value: 1,
    "aria-label": "How many answers each" });
  const go = h("button", { type: "button", class: "main go", click: () => busy() ? stop() : ask() });
  const diffBase = h("select", { "aria-label": "Show differences from",
    change: () => send({ do: "show_diff", column: diffBase.value || null }) });
  const clear = h("button", { type: "button", title: "Begin anew; what was stored stays stored",
    click: () => send({ do: "clear" }) }, "Clear");

  const { send, element: waiting, rest, off } = talk(model, refused);
  const source = () => model.get("source_file");
  let gone = false;
  const busy = () => !gone && model.get("state") === "answering";
  const stop = () => send({ do: "stop" });
  let asked = ""; // what Python has not heard yet; it stands in its field until then
  function ask() {
    const text = question.value;
    if (busy() || asked || !text.trim()) return;
    asked = text;
    send({ do: "ask", question: text, repeats: Number(repeats.value) || 1 }, () => {
      asked = "";
      if (question.value === text) question.value = "";
    });
  }

  /** Nothing that was typed is lost where Python would not. */
  function refused(wish) {
    if (wish.do === "ask") {
      question.value = [wish.question, question.value].filter(Boolean).join("\n");
    } else if (wish.do === "switch" && wish.model) {
      models.refused(wish.model);
    } else {
      columns.get(wish.column)?.refused(wish);
    }
  }
  question.addEventListener("keydown", (event) => { if (isSend(event)) ask(); });

  const composer = h("form", { class: "composer", submit: (event) => event.preventDefault() },
    question,
    h("div", { class: "row" },
      h("label", { class: "field" }, "Answers each", repeats),
      compare ? h("label", { class: "field" }, "Differences from", diffBase) : null,
      h("span", { class: "space" }), waiting, status, clear, go));
  const models = compare ? null : modelPicker(model, send);
  const main = h("div", { class: "main-part" }, notice, grid, composer);
  const root = h("div", { class: "assistants-live", role: "region",
    "aria-label": compare ? "Compare" : "Chat" },
    compare ? null : sidebar(model, send, models), main, announcer);
  root.hidden = true; // until a kernel answers: without one there is the copy below to read
  root.classList.add(compare ? "compare" : "chat");
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && busy()) stop();
    // The notebook has shortcuts of its own: here, "d d" must not delete a cell, nor Shift+Enter
    // run one. Ctrl+S still saves.
    if (!(event.ctrlKey || event.metaKey) || event.key === "Enter") event.stopPropagation();
  });

  function drawHeads() {
    const heads = model.get("columns");
    const known = new Set(heads.map((head) => head.id));
    for (const [id, view] of columns) {
      if (!known.has(id)) { view.element.remove(); columns.delete(id); }
    }
    heads.forEach((head, at) => {
      let view = columns.get(head.id);
      if (!view) columns.set(head.id, (view = new ColumnView(head.id, send, { compare, source })));
      view.place = { first: at === 0, last: at === heads.length - 1 };
      view.describe(head, view.place);
      if (grid.children[at] !== view.element) {
        const focused = document.activeElement;
        grid.insertBefore(view.element, grid.children[at] ?? null);
        if (view.element.contains(focused)) focused.focus();
      }
    });
    grid.style.gridTemplateColumns = heads.map((head) =>
      head.collapsed ? "170px" : "minmax(280px, 1fr)").join(" ");
    diffBase.replaceChildren(h("option", { value: "" }, "none"), ...heads.map((head) =>
      h("option", { value: head.id }, `${head.label} on ${head.model}`)));
    diffBase.value = model.get("diff_base") ?? "";
    drawSums();
  }

  function drawSums() {
    const sums = model.get("sums");
    for (const [id, view] of columns) view.sum(sums[id] ?? "");
  }

  function drawState() {
    setText(go, busy() ? "Stop" : "Send");
    go.title = busy() ? "Stop all (Escape)" : "Send (Enter)";
    clear.disabled = gone || busy();
    root.classList.toggle("busy", busy());
    setText(status, busy() ? "Answering …" : "");
  }

  function drawNotice() {
    const wrong = gone ? "The kernel is gone: run the cell again. What was said is here to read."
      : model.get("notice");
    const said = wrong || model.get("kept");
    setText(notice, said);
    notice.classList.toggle("good", !wrong);
    notice.hidden = !said;
  }

  function index() {
    answers.clear();
    let most = 1; // no number of rows is no valid style
    for (const view of columns.values()) {
      for (const [id, answer] of view.answers()) answers.set(id, answer);
      most = Math.max(most, view.entries.size);
    }
    grid.style.setProperty("--rows", most);
  }

  function atEnd() {
    return grid.scrollHeight - grid.scrollTop - grid.clientHeight < 60;
  }

  function differences(found) {
    for (const [id, view] of answers) {
      const difference = found[id];
      if (difference || view.difference) view.drawText(difference ?? null);
    }
  }

  function lose() {
    gone = true;
    rest();
    for (const answer of answers.values()) answer.lose();
    disable(root);
    drawState();
    drawNotice();
  }

  const endings = [off, whenGone(model, lose), keepCopy(model), listen(model, {
    snapshot(state) {
      root.hidden = false;
      for (const view of columns.values()) view.clear();
      for (const { id, entries } of state.columns) {
        for (const entry of entries) columns.get(id)?.entry(entry);
      }
      index();
      if (state.differences) differences(state.differences);
      grid.scrollTop = grid.scrollHeight;
    },
    item(item) {
      const follow = atEnd();
      if (item.op === "more") {
        answers.get(item.answer)?.more(item);
      } else if (item.op === "entry") {
        columns.get(item.column)?.entry(item.entry);
        index();
        for (const each of item.entry.answers ?? []) announce(item.column, each);
      } else if (item.op === "drop") {
        for (const view of columns.values()) view.drop(item.entries);
        index();
      } else if (item.op === "differences") {
        differences(item.answers);
      }
      if (follow) grid.scrollTop = grid.scrollHeight;
    },
  })];

  const news = [];
  function announce(column, { state }) {
    const said = { done: "answer complete", failed: "failed", stopped: "stopped" }[state];
    const info = columns.get(column)?.info;
    if (!said || !info) return;
    if (!news.length) setTimeout(() => { announcer.textContent = news.splice(0).join(" "); }, 100);
    news.push(`${info.label} on ${info.model}: ${said}.`);
  }

  const drawn = { columns: drawHeads, diff_base: drawHeads, sums: drawSums, state: drawState,
    notice: drawNotice, kept: drawNotice };
  for (const [trait, draw] of Object.entries(drawn)) model.on(`change:${trait}`, draw);
  drawHeads();
  drawState();
  drawNotice();
  el.append(root);
  if (!compare) el.append(forkOf(model, send));
  return () => {
    for (const end of endings) end();
    for (const [trait, draw] of Object.entries(drawn)) model.off(`change:${trait}`, draw);
  };
}

export default { render };
