// Which model answers in a chat: one that is known, or any other by its name.

function modelPicker(model, send) {
  const other = h("option", { value: "" }, "another …");
  const known = h("select", { "aria-label": "Model", focus: () => send({ do: "look" }),
    change: () => known.selectedOptions[0] === other ? open("") : choose(known.value) });
  const name = h("input", { type: "text", hidden: true, spellcheck: false,
    "aria-label": "Name of another model", placeholder: "such as vllm:NAME" });
  const choose = (wanted) => send({ do: "switch", model: wanted });

  function open(text) {
    name.hidden = false;
    name.value = text;
    other.selected = true;
    name.focus();
  }

  function close() {
    if (document.activeElement === name) known.focus();
    name.hidden = true;
    draw();
  }

  name.addEventListener("keydown", (event) => {
    if (isSend(event) && name.value.trim()) {
      choose(name.value.trim());
      close();
    }
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  });

  function draw() {
    known.replaceChildren(...model.get("models_known").map((each) =>
      h("option", { value: each }, each)), other);
    if (name.hidden) known.value = model.get("model");
    else other.selected = true;
  }

  draw();
  return {
    draw,
    element: h("div", {}, h("label", { class: "field" }, "Model", known), name),
    /** What Python would not have stays no choice; a name that was typed can be typed better. */
    refused(wanted) {
      if (model.get("models_known").includes(wanted)) draw();
      else open(wanted);
    },
  };
}
