// One column: its head, and its conversation.

class ColumnView {
  constructor(id, send, { compare, source }) {
    this.id = id;
    this.send = send;
    this.compare = compare;
    this.source = source; // the experiment file that a case is kept in unless another is named
    this.entries = new Map();
    this.list = h("div", { class: "entries" });
    this.head = h("header", { class: "head" });
    this.element = h("section", { class: "column" }, this.head, this.list);
    this.prompting = false;
  }

  get open() {
    return [...this.entries.values()].some((entry) => entry.open);
  }

  describe(head, place) {
    this.info = head;
    const key = JSON.stringify([head, place, this.prompting]);
    if (key === this.drawn) return;
    this.drawn = key;
    const { element } = this;
    element.setAttribute("aria-label", `${head.label} on ${head.model}`);
    element.classList.toggle("collapsed", head.collapsed);
    element.classList.toggle("pinned", head.pinned);
    const focused = this.head.contains(document.activeElement)
      && document.activeElement.dataset.act;
    this.head.replaceChildren(
      h("div", { class: "who" },
        h("h3", {}, head.label),
        head.edited ? h("span", { class: "badge" }, "edited prompt") : null,
        head.pinned ? h("span", { class: "badge" }, "pinned") : null),
      h("div", { class: "model" }, head.model),
      h("div", { class: "row tools" }, ...this.tools(head, place)),
      ...(this.prompting ? [this.promptEditor(head)] : []));
    if (focused) this.head.querySelector(`[data-act="${focused}"]`)?.focus();
  }

  tools(head, { first, last }) {
    const tool = (act, text, label, click, more = {}) =>
      h("button", { type: "button", class: "quiet", "data-act": act, "aria-label": label,
        title: label, click, ...more }, text);
    const ask = (act, more = {}) => () => this.send({ do: act, column: this.id, ...more });
    const prompt = tool("prompt", "Prompt", "Read or edit the system prompt", () => {
      this.prompting = !this.prompting;
      this.describe(this.info, { first, last });
      if (this.prompting) this.head.querySelector("textarea").focus();
    }, { "aria-expanded": String(this.prompting) });
    if (!this.compare) return [prompt];
    return [
      tool("left", "←", "Move left", ask("move", { by: -1 }), { disabled: first }),
      tool("right", "→", "Move right", ask("move", { by: 1 }), { disabled: last }),
      tool("pin", head.pinned ? "Unpin" : "Pin", "Keep this column in sight", ask("pin"),
        { "aria-pressed": String(head.pinned) }),
      tool("fold", head.collapsed ? "Unfold" : "Fold", "Fold this column away",
        ask("collapse"), { "aria-expanded": String(!head.collapsed) }),
      prompt,
      tool("stop", "Stop", "Stop this column", ask("stop")),
    ];
  }

  promptEditor(head) {
    const text = h("textarea", { rows: 8, value: head.prompt, "aria-label": "System prompt",
      placeholder: "No system message is sent." });
    const close = () => {
      this.prompting = false;
      this.describe(this.info, this.place ?? {});
      this.head.querySelector('[data-act="prompt"]').focus();
    };
    const use = (value) => () => {
      this.send({ do: "prompt", column: this.id, text: value === undefined ? text.value : value });
      close();
    };
    text.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
    });
    return h("div", { class: "editor" }, text, h("div", { class: "row" },
      h("button", { type: "button", class: "main", click: use() }, "Use this prompt"),
      h("button", { type: "button", click: use(null), disabled: !head.edited }, "Undo edits"),
      h("button", { type: "button", click: close }, "Close")));
  }

  entry(item) {
    let view = this.entries.get(item.id);
    if (!view) {
      view = new EntryView(item, {
        regenerate: () => this.send({ do: "regenerate", column: this.id }),
        edit: (turn, question) => this.send({ do: "edit", column: this.id, turn, question }),
        keep: (turn, path) => this.send({ do: "keep", column: this.id, turn, path }),
        source: this.source,
      });
      this.entries.set(item.id, view);
      this.list.append(view.element);
    }
    view.update(item);
  }

  drop(ids) {
    for (const id of ids) {
      this.entries.get(id)?.element.remove();
      this.entries.delete(id);
    }
  }

  clear() {
    this.entries.clear();
    this.list.replaceChildren();
  }

  *answers() {
    for (const entry of this.entries.values()) yield* entry.answers;
  }
}
