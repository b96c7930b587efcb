// The page of Browse: filters, a grid of cells, and what is opened from it.

function render({ model, el }) {
  let gone = false;
  const { send: wish, element: waiting, rest, off } = talk(model);
  const send = (message) => gone || wish(message);
  const notice = h("div", { class: "notice", role: "alert", hidden: true });
  const summary = h("span", { class: "facts", role: "status" });
  let at = [0, 0]; // the cell that the keyboard is in
  let asked = 0;

  const labelled = (label, field) => h("label", { class: "field" }, label, field);
  const run = h("select", { "aria-label": "Run", change: () => send({ do: "run", run: run.value }) });
  const runField = labelled("Run", run);
  const text = h("input", { type: "search", placeholder: "Words in answers and questions",
    "aria-label": "Words in answers and questions", input: later, change: ask });
  const caseName = h("input", { type: "search", placeholder: "Case", "aria-label": "Case", class: "short",
    input: later, change: ask });
  const selects = Object.fromEntries(["Status", "Persona", "Model"].map((name) =>
    [name.toLowerCase(), h("select", { "aria-label": name, change: ask })]));
  const offered = {}; // for each option of a select, the names that it stands for
  const failures = h("input", { type: "checkbox", checked: true, change: ask });

  function later() {
    clearTimeout(asked);
    asked = setTimeout(ask, 250);
  }

  function ask() {
    clearTimeout(asked);
    const chosen = { text: text.value, case: caseName.value, failures_first: failures.checked };
    for (const [name, select] of Object.entries(selects)) chosen[name] = offered[name][select.selectedIndex] ?? [];
    const now = model.get("filters");
    const same = Object.entries(chosen).every(([name, value]) =>
      JSON.stringify(now[name]) === JSON.stringify(value));
    if (!same) send({ do: "filter", ...chosen });
  }

  const body = h("tbody");
  const head = h("tr");
  const table = h("table", { role: "grid", "aria-label": "Answers" }, h("thead", {}, head), body);
  const grid = h("div", { class: "cells" }, table);
  const nothing = h("p", { class: "nothing facts", hidden: true }, "Nothing in this run is like that.");
  const turn = ({ page, column_page: columns }) => send({ do: "page", rows: page, columns });
  const pager = (trait, most, label) => {
    const shown = h("span", { class: "facts" });
    const go = (by) => () => {
      const place = { page: model.get("page"), column_page: model.get("column_page") };
      place[trait] += by;
      turn(place);
    };
    const back = h("button", { type: "button", "aria-label": `Former ${label}`, click: go(-1) }, "‹");
    const next = h("button", { type: "button", "aria-label": `Next ${label}`, click: go(1) }, "›");
    const element = h("span", { class: "row" }, back, shown, next);
    return { element, draw() {
      const [now, all] = [model.get(trait), model.get(most)];
      element.hidden = all < 2;
      setText(shown, `${label} ${now + 1} of ${all}`);
      back.disabled = now < 1;
      next.disabled = now > all - 2;
    } };
  };
  const pagers = [pager("page", "pages", "screen"), pager("column_page", "column_pages", "columns")];

  const panel = h("aside", { class: "panel", tabIndex: -1, hidden: true, role: "dialog", "aria-label": "Opened" });
  const chat = h("div", { class: "chat-below", hidden: true });
  const root = h("div", { class: "assistants-live browse", role: "region", "aria-label": "Browse a run" },
    h("div", { class: "main-part" },
      h("header", { class: "row top" }, runField, text, caseName, ...Object.values(selects),
        labelled("Failures first", failures)),
      notice, grid, nothing,
      h("footer", { class: "row bottom" }, summary, waiting, h("span", { class: "space" }),
        h("span", { class: "facts keys" }, "Enter opens · Space selects, two are compared · r next repeat"),
        pagers.map(({ element }) => element))),
    panel);

  // -- the grid ---------------------------------------------------------------------------------

  function drawGrid() {
    const inside = grid.contains(document.activeElement);
    head.replaceChildren(h("th", { scope: "col" }, "Case"), ...model.get("columns").map((each) =>
      h("th", { scope: "col" }, h("b", {}, each.persona), h("span", { class: "model" }, each.model))));
    const rows = model.get("rows");
    body.replaceChildren(...rows.map((row, down) => h("tr", {},
      h("th", { scope: "row" }, h("b", {}, row.case), h("span", { class: "question-text" }, row.question)),
      row.cells.map((cell, across) => drawCell(row, cell, [down, across])))));
    grid.hidden = !rows.length;
    nothing.hidden = Boolean(rows.length);
    for (const each of pagers) each.draw();
    enter(at, inside);
  }

  function drawCell(row, cell, place) {
    const go = (event) => { if (!event.target.closest("button, input")) { enter(place); open(cell); } };
    if (!cell) return h("td", { class: "empty", tabIndex: -1, "aria-label": "no trial" });
    const selected = model.get("selected").includes(cell.trial);
    return h("td", { tabIndex: -1, "aria-selected": String(selected), click: go, "data-trial": cell.trial,
      class: [cell.matches ? "" : "other", cell.bad ? "bad" : ""].join(" "),
      "aria-label": `${row.case}, ${cell.persona}: ${cell.status}. ${cell.answer}` },
    h("div", { class: "answer-text" }, marked(cell.answer)),
    h("div", { class: "row cell-facts" },
      cell.status === "ok" ? null : h("span", { class: "badge" }, cell.status),
      h("span", { class: "facts" }, cell.facts), h("span", { class: "space" }),
      cell.repeats > 1 ? h("button", { type: "button", class: "quiet", tabIndex: -1,
        "aria-label": `Repeat ${cell.number} of ${cell.repeats}, show the next`,
        title: cell.failed ? `${cell.failed} of ${cell.repeats} failed` : "Show the next repeat",
        click: () => { at = place; send({ do: "repeat", trial: cell.trial }); } },
      `${cell.number}/${cell.repeats}`, cell.failed ? h("span", { class: "failed" }, ` ${cell.failed}✕`) : null) : null,
      h("input", { type: "checkbox", tabIndex: -1, checked: selected, "aria-label": "Select to compare",
        title: "Select two to compare them",
        change: () => { at = place; send({ do: "select", trial: cell.trial }); } })));
  }

  /** The text, with what was looked for marked. */
  function marked(answer) {
    const wanted = (model.get("filters").text ?? "").toLowerCase();
    const parts = [];
    let rest = answer;
    for (let found; wanted && (found = rest.toLowerCase().indexOf(wanted)) >= 0;) {
      parts.push(rest.slice(0, found), h("mark", {}, rest.slice(found, found + wanted.length)));
      rest = rest.slice(found + wanted.length);
    }
    return [...parts, rest];
  }

  const cellAt = ([down, across]) => model.get("rows")[down]?.cells[across];
  const open = (cell) => cell && send({ do: "open", trial: cell.trial });
  const elementAt = ([down, across]) => body.children[down]?.children[across + 1];

  function enter(place, focus = true) {
    const rows = model.get("rows");
    if (!rows.length) return;
    elementAt(at)?.setAttribute("tabindex", "-1");
    at = [Math.min(Math.max(0, place[0]), rows.length - 1),
      Math.min(Math.max(0, place[1]), rows[0].cells.length - 1)];
    const element = elementAt(at);
    if (!element) return;
    element.tabIndex = 0;
    if (focus) element.focus();
  }

  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  grid.addEventListener("keydown", (event) => {
    if (!(event.target instanceof HTMLTableCellElement) || event.ctrlKey || event.metaKey || event.altKey) return;
    const cell = cellAt(at);
    const page = { PageUp: -1, PageDown: 1 }[event.key];
    if (moves[event.key]) enter([at[0] + moves[event.key][0], at[1] + moves[event.key][1]]);
    else if (event.key === "Home") enter([at[0], 0]);
    else if (event.key === "End") enter([at[0], Infinity]);
    else if (page) turn({ page: model.get("page") + page, column_page: model.get("column_page") });
    else if (event.key === "Enter") open(cell);
    else if (event.key === " " && cell) send({ do: "select", trial: cell.trial });
    else if (event.key === "r" && cell) send({ do: "repeat", trial: cell.trial });
    else return;
    event.preventDefault();
  });

  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !panel.hidden) send({ do: "close_trial" });
    // The notebook has shortcuts of its own; Ctrl+S still saves.
    if (!(event.ctrlKey || event.metaKey) || event.key === "Enter") event.stopPropagation();
  });

  // -- the rest ---------------------------------------------------------------------------------

  function drawSelected() {
    const selected = model.get("selected");
    for (const element of body.querySelectorAll("td[data-trial]")) {
      const is = selected.includes(Number(element.dataset.trial));
      element.setAttribute("aria-selected", String(is));
      element.querySelector("input").checked = is;
    }
  }

  function drawPanel() {
    const [difference, item] = [model.get("difference"), model.get("opened")];
    const inside = root.contains(document.activeElement);
    const was = !panel.hidden;
    const extra = { source: model.get("source_file"), kept: model.get("kept") };
    if (difference.html) panel.replaceChildren(...differencePanel(difference, send));
    else if (item.turns) panel.replaceChildren(...trialPanel(item, send, extra));
    else panel.replaceChildren();
    panel.hidden = !panel.children.length;
    root.classList.toggle("with-panel", !panel.hidden);
    if (!panel.hidden && inside) panel.focus({ preventScroll: true });
    else if (panel.hidden && was) enter(at, inside || document.activeElement === document.body);
  }

  function drawKept() {
    const place = panel.querySelector(".kept");
    if (place) setText(place, model.get("kept"));
  }

  function drawFilters() {
    const [filters, choices] = [model.get("filters"), model.get("choices")];
    for (const [name, select] of Object.entries(selects)) {
      const all = { status: "Every status", persona: "Every persona", model: "Every model" }[name];
      const chosen = filters[name] ?? [];
      const single = choices[name] ?? [];
      const several = chosen.length > 1 ? [chosen] : [];
      offered[name] = [[], ...several, ...single.map(({ value }) => [value])];
      select.replaceChildren(...[all, ...several.map((names) => `${names.length} of them`),
        ...single.map(({ label }) => label)].map((label) => h("option", {}, label)));
      select.selectedIndex = offered[name].findIndex((names) => String(names) === String(chosen));
      select.hidden = single.length < 2;
    }
    if (document.activeElement !== text) text.value = filters.text ?? "";
    if (document.activeElement !== caseName) caseName.value = filters.case ?? "";
    failures.checked = filters.failures_first ?? true;
  }

  function drawSummary() {
    setText(summary, model.get("state") === "reading" ? "Reading …" : model.get("summary"));
    root.setAttribute("aria-busy", String(model.get("state") === "reading"));
  }

  function drawRuns() {
    const runs = model.get("runs");
    runField.hidden = runs.length < 2;
    run.replaceChildren(...model.get("choices").run.map((each) =>
      h("option", { value: each.value }, each.label)));
    run.value = model.get("run_id");
  }

  function drawNotice() {
    const wrong = gone ? "The kernel is gone: run the cell again. What is open is here to read."
      : model.get("notice");
    setText(notice, wrong);
    notice.hidden = !wrong;
  }

  function lose() {
    gone = true;
    rest();
    disable(root);
    drawNotice();
  }

  async function drawChat() {
    const id = model.get("chat");
    chat.replaceChildren();
    chat.hidden = !id;
    if (!id) return;
    const child = await model.widget_manager.get_model(id.replace("IPY_MODEL_", ""));
    const view = await model.widget_manager.create_view(child);
    if (model.get("chat") !== id) return;
    chat.replaceChildren(h("div", { class: "row" }, h("b", {}, "Chat"), h("span", { class: "space" }),
      h("button", { type: "button", class: "quiet", click: () => send({ do: "close_chat" }) }, "Close")), view.el);
    chat.scrollIntoView({ block: "nearest" });
  }

  const drawn = { rows: drawGrid, columns: drawGrid, page: drawGrid, pages: drawGrid, column_page: drawGrid,
    column_pages: drawGrid, selected: drawSelected, opened: drawPanel, difference: drawPanel, kept: drawKept,
    filters: drawFilters, choices: () => { drawFilters(); drawRuns(); }, summary: drawSummary, state: drawSummary, runs: drawRuns,
    run_id: drawRuns, notice: drawNotice, chat: drawChat };
  for (const [trait, draw] of Object.entries(drawn)) model.on(`change:${trait}`, draw);
  for (const draw of new Set(Object.values(drawn))) draw();
  root.hidden = true; // until a kernel answers: without one there is the copy below to read
  el.append(root, chat);
  const endings = [off, whenGone(model, lose), keepCopy(model), listen(model, {
    snapshot() { root.hidden = false; },
    item() {},
  })];
  return () => {
    for (const end of endings) end();
    clearTimeout(asked);
    for (const [trait, draw] of Object.entries(drawn)) model.off(`change:${trait}`, draw);
  };
}

export default { render };
