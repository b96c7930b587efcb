// What Browse opens beside its grid: a whole trial, or the difference between two.

/** The trial that is open. */
function trialPanel(item, send, { source, kept }) {
  const close = h("button", { type: "button", class: "quiet", "aria-label": "Close",
    click: () => send({ do: "close_trial" }) }, "Close");
  const step = (by, text, label) => h("button", { type: "button", class: "quiet", "aria-label": label,
    click: () => send({ do: "repeat", trial: item.trial, by }) }, text);
  const body = h("div", { class: "panel-body" });
  body.append(
    h("dl", {}, item.facts.map(([name, value]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    fold("System prompt", item.system_prompt, item.system_prompt.length < 500)
      ?? h("p", { class: "facts" }, "No system prompt."));
  for (const turn of item.turns) {
    body.append(
      dressed("markdown said", turn.question),
      ...(turn.by ? [h("p", { class: "facts" }, `Answered by ${turn.by}`)] : []),
      ...[fold("Reasoning", turn.reasoning, false)].filter(Boolean),
      dressed("markdown", turn.answer));
  }
  if (item.error) body.append(h("p", { class: "problem", role: "note" }, item.error));
  const reference = fold("Reference", item.reference, false);
  if (reference) body.append(reference);
  return [
    h("header", { class: "panel-head" },
      h("div", { class: "row" },
        h("h3", {}, item.persona), h("span", { class: "model" }, item.model),
        h("span", { class: "space" }), close),
      h("div", { class: "row facts" }, h("span", {}, `Case ${item.case}`),
        item.repeats > 1 ? h("span", { class: "row steps" }, step(-1, "‹", "Former repeat"),
          `repeat ${item.number} of ${item.repeats}`, step(1, "›", "Next repeat")) : null)),
    body,
    h("footer", { class: "bottom" },
      h("div", { class: "row" },
        h("button", { type: "button", class: "main", disabled: !item.turns[0]?.answer,
          click: () => send({ do: "chat", trial: item.trial }) }, "Open as chat"),
        ...keeping(item, send, source)),
      h("p", { class: "facts kept", role: "status" }, kept)),
  ];
}

/** A path, and the button that appends the case to the experiment there. */
function keeping(item, send, source) {
  const path = h("input", { type: "text", value: source, spellcheck: false,
    "aria-label": "Experiment file", placeholder: "experiments/mine.yaml" });
  const keep = () => path.value.trim() && send({ do: "keep", trial: item.trial, path: path.value });
  path.addEventListener("keydown", (event) => { if (event.key === "Enter") keep(); });
  return [h("span", { class: "space" }), path,
    h("button", { type: "button", click: keep }, "Keep as case")];
}

/** The words in which two answers differ. */
function differencePanel(item, send) {
  const close = h("button", { type: "button", class: "quiet", "aria-label": "Close",
    click: () => send({ do: "close_trial" }) }, "Close");
  return [
    h("header", { class: "panel-head" },
      h("div", { class: "row" }, h("h3", {}, "Difference"), h("span", { class: "space" }), close),
      h("div", { class: "facts" }, h("b", {}, item.new), " against ", h("b", {}, item.old)),
      h("div", { class: "facts" }, item.summary)),
    dressed("panel-body", item.html),
  ];
}

function dressed(classes, html) {
  const element = h("div", { class: classes });
  dress(element, html);
  return element;
}

function fold(title, html, open) {
  return html ? h("details", { open }, h("summary", {}, title), dressed("markdown", html)) : null;
}
