// Who can answer in a chat: personas to search and pick, and a model.

function sidebar(model, send, models) {
  const list = h("ul", { class: "personas", "aria-label": "Personas" });
  const search = h("input", { type: "search", placeholder: "Search personas",
    "aria-label": "Search personas", input: drawPersonas });

  function drawPersonas() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = model.get("personas").filter((each) => words.every((word) =>
      `${each.name} ${each.label} ${each.description}`.toLowerCase().includes(word)));
    const focused = list.contains(document.activeElement)
      && document.activeElement.dataset.name;
    list.replaceChildren(...found.map((each) => h("li", {},
      h("button", { type: "button", "data-name": each.name,
        "aria-pressed": String(each.name === model.get("persona")),
        click: () => send({ do: "switch", persona: each.name }) },
        h("b", {}, each.label), h("span", {}, each.description)))));
    if (!found.length) list.append(h("li", { class: "none" }, "No persona has these words."));
    if (focused) list.querySelector(`[data-name="${focused}"]`)?.focus();
  }

  for (const trait of ["personas", "persona"]) model.on(`change:${trait}`, drawPersonas);
  for (const trait of ["models_known", "model"]) model.on(`change:${trait}`, models.draw);
  drawPersonas();
  return h("aside", { class: "sidebar", "aria-label": "Who answers" },
    models.element, search, list, everybody(model, send));
}

/** The last question to other personas too: whom, and the columns below. */
function everybody(model, send) {
  const chosen = new Set();
  const list = h("div", { class: "chosen" });
  const go = h("button", { type: "button", class: "main", click: () => {
    send({ do: "fork", personas: [...chosen] });
    panel.open = false;
  } }, "Ask them");
  const panel = h("details", { class: "everybody" }, h("summary", {}, "Ask everybody …"), list, go);

  function draw() {
    list.replaceChildren(...model.get("personas").map((each) => h("label", {},
      h("input", { type: "checkbox", checked: chosen.has(each.name), change: (event) => {
        if (event.currentTarget.checked) chosen.add(each.name);
        else chosen.delete(each.name);
        go.disabled = !chosen.size;
      } }), each.label)));
    go.disabled = !chosen.size;
  }

  model.on("change:personas", draw);
  draw();
  return panel;
}

/** The columns of everybody who was asked, below a chat. */
function forkOf(model, send) {
  const place = h("div");
  const element = h("section", { class: "assistants-fork", "aria-label": "Everybody", hidden: true },
    h("div", { class: "row" }, h("b", {}, "Everybody"), h("span", { class: "space" }),
      h("button", { type: "button", class: "quiet", click: () => send({ do: "close_fork" }) },
        "Close")), place);

  async function draw() {
    const id = model.get("forked");
    place.replaceChildren();
    element.hidden = !id;
    if (!id) return;
    const child = await model.widget_manager.get_model(id.replace("IPY_MODEL_", ""));
    const view = await model.widget_manager.create_view(child);
    if (model.get("forked") === id) place.replaceChildren(view.el);
  }

  model.on("change:forked", draw);
  draw();
  return element;
}
