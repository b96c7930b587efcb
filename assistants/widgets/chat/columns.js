// One column: its head, and its conversation.

class ColumnView {
  constructor(id, send, { compare, source }) {
    this.id = id;
    this.send = send;
    this.compare = compare;
    this.source = source; // the experiment file that a case is kept in unless another is named
    this.entries = new Map();
    this.list = h("div", { class: "entries" });
    this.about = h("div");
    this.sums = h("div", { class: "facts sums", hidden: true });
    this.head = h("header", { class: "head" }, this.about);
    this.element = h("section", { class: "column" }, this.head, this.list);
    this.editor = null; // of the system prompt, while it is open
  }

  get open() {
    return [...this.entries.values()].some((entry) => entry.open);
  }

  describe(head, place) {
    this.info = head;
    const key = JSON.stringify([head, place, Boolean(this.editor)]);
    if (key === this.drawn) return;
    this.drawn = key;
    this.editor?.follow(head);
    const { element } = this;
    element.setAttribute("aria-label", `${head.label} on ${head.model}`);
    element.classList.toggle("collapsed", head.collapsed);
    element.classList.toggle("pinned", head.pinned);
    const focused = this.about.contains(document.activeElement)
      && document.activeElement.dataset.act;
    this.about.replaceChildren(
      h("div", { class: "who" },
        h("h3", {}, head.label),
        head.edited ? h("span", { class: "badge" }, "edited prompt") : null,
        head.pinned ? h("span", { class: "badge" }, "pinned") : null),
      h("div", { class: "model" }, head.model),
      this.sums,
      h("div", { class: "row tools" }, ...this.tools(head, place)),
      h("div", { class: "row techniques" }, ...this.techniques(head)));
    if (focused) this.about.querySelector(`[data-act="${focused}"]`)?.focus();
  }

  /** What all of its answers came to, in one line; empty where that is told below. */
  sum(said) {
    setText(this.sums, said);
    this.sums.hidden = !said;
  }

  /** A checkbox for each technique. */
  techniques(head) {
    return head.techniques.map(({ name, label, on }) => h("label", {},
      h("input", { type: "checkbox", checked: on, "data-act": name, change: (event) =>
        this.send({ do: "technique", column: this.id, name, settings: event.target.checked }) }),
      label));
  }

  tools(head, { first, last }) {
    const tool = (act, text, label, click, more = {}) =>
      h("button", { type: "button", class: "quiet", "data-act": act, "aria-label": label,
        title: label, click, ...more }, text);
    const ask = (act, more = {}) => () => this.send({ do: act, column: this.id, ...more });
    const prompt = tool("prompt", "Prompt", "Read or edit the system prompt", () => {
      if (this.editor) this.closePrompt();
      else this.openPrompt();
    }, { "aria-expanded": String(Boolean(this.editor)) });
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

  /** Open the system prompt to be edited; `text` is one that could not be used before. */
  openPrompt(text) {
    this.editor ??= this.promptEditor(this.info);
    if (text) this.editor.text.value = text;
    this.head.append(this.editor.element);
    this.describe(this.info, this.place ?? {});
    this.editor.text.focus();
  }

  closePrompt() {
    this.editor.element.remove();
    this.editor = null;
    this.describe(this.info, this.place ?? {});
    this.about.querySelector('[data-act="prompt"]').focus();
  }

  /** It outlives the head around it, so that nothing typed is lost when that is drawn again. */
  promptEditor(head) {
    let shown = head.prompt;
    const text = h("textarea", { rows: 8, value: shown, "aria-label": "System prompt",
      placeholder: "No system prompt." });
    const use = (value) => () => {
      this.send({ do: "prompt", column: this.id, text: value === undefined ? text.value : value });
      this.closePrompt();
    };
    const undo = h("button", { type: "button", click: use(null), disabled: !head.edited },
      "Undo edits");
    text.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.closePrompt();
    });
    const element = h("div", { class: "editor" }, text, h("div", { class: "row" },
      h("button", { type: "button", class: "main", click: use() }, "Use this prompt"), undo,
      h("button", { type: "button", click: () => this.closePrompt() }, "Close")));
    const follow = ({ prompt, edited }) => {
      if (text.value === shown) text.value = prompt; // of somebody else now; nothing was typed
      shown = prompt;
      undo.disabled = !edited;
    };
    return { element, text, follow };
  }

  /** Python would not: what was typed is there again, to be sent later. */
  refused(wish) {
    if (wish.do === "edit") this.entries.get(wish.turn)?.edit(wish.question);
    else if (wish.do === "keep") this.entries.get(wish.turn)?.keep(wish.path);
    else if (wish.do === "prompt") this.openPrompt(wish.text);
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
      this.row(item).append(view.element);
    }
    view.update(item);
  }

  /** Where an entry stands. What changes stands below the turn before it, so that the questions
   *  of all columns stay side by side. */
  row(item) {
    const last = this.list.lastElementChild;
    const goesOn = item.change !== undefined || !last?.querySelector(":scope > section");
    return last && goesOn ? last : this.list.appendChild(h("div", { class: "turn" }));
  }

  drop(ids) {
    for (const id of ids) {
      const element = this.entries.get(id)?.element;
      const row = element?.parentElement;
      element?.remove();
      if (row && !row.childElementCount) row.remove();
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
