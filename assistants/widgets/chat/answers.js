// One question and the answers to it.

async function copy(text, button) {
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => (button.textContent = said), 1500);
}

function copyButton(text, what) {
  return h("button", { type: "button", class: "quiet copy", "aria-label": `Copy the ${what}`,
    click: (event) => copy(text(), event.currentTarget) }, "Copy");
}

/** An answer as it grows: finished blocks as HTML from Python, the rest as plain text. */
class AnswerView {
  constructor(actions) {
    this.actions = actions;
    this.item = {};
    this.sent = h("div", { class: "sent" }); // what techniques did to the question
    this.blocks = h("div", { class: "markdown" });
    this.tail = h("div", { class: "tail" });
    this.problem = h("p", { class: "problem", role: "note", hidden: true });
    this.facts = h("span", { class: "facts" });
    this.buttons = h("span", { class: "buttons" });
    this.element = h("article", { class: "answer" }, this.sent, this.blocks, this.tail, this.problem,
      h("footer", {}, this.facts, this.buttons));
  }

  get open() {
    return this.item.state === "waiting" || this.item.state === "streaming";
  }

  update(item) {
    this.item = item;
    this.element.dataset.state = item.state;
    this.element.setAttribute("aria-label", `Answer ${item.number}`);
    this.element.setAttribute("aria-busy", String(this.open));
    if (item.author && !this.author) { // it does not go without saying any more
      this.author = h("p", { class: "facts" }, `Answered by ${item.author}`);
      this.element.prepend(this.author);
    }
    if (item.sent !== this.drawnSent) dress(this.sent, (this.drawnSent = item.sent));
    this.drawText();
    setText(this.tail, this.open ? item.tail ?? "" : "");
    const said = [item.state === "stopped" ? "Stopped here: this is not the whole answer." : "",
      item.error, item.note].filter(Boolean).join(" ");
    setText(this.problem, said);
    this.problem.hidden = !said;
    const facts = { waiting: "Waiting …", streaming: "Answering …" }[item.state];
    setText(this.facts, facts ?? item.facts.join(" · "));
    const repeatable = this.actions.regenerate && !this.open;
    this.buttons.replaceChildren(...(this.open ? [] : [
      item.text ? copyButton(() => this.item.text, "answer") : "",
      repeatable ? h("button", { type: "button", class: "quiet regenerate",
        title: "Draw one more answer to this question",
        click: this.actions.regenerate }, "Regenerate") : "",
    ]));
  }

  more(item) {
    if (item.html !== undefined) {
      const block = h("div");
      dress(block, item.html);
      this.blocks.append(...block.childNodes);
      setText(this.tail, item.tail);
    } else {
      this.tail.append(item.text);
      if (this.tail.childNodes.length > 200) this.tail.normalize();
    }
  }

  /** Nothing more will come: the text stays, and says so. */
  lose() {
    if (!this.open) return;
    this.item.state = this.element.dataset.state = "stopped";
    this.element.setAttribute("aria-busy", "false");
    setText(this.problem, "Stopped here: the kernel is gone.");
    this.problem.hidden = false;
    setText(this.facts, "");
  }

  /** The answer, or what differs in it from another one's. */
  drawText(difference) {
    if (difference !== undefined) this.difference = difference;
    dress(this.blocks, this.difference?.html ?? this.item.html ?? "");
    for (const block of this.blocks.querySelectorAll(".code > pre")) {
      const text = block.textContent;
      block.after(copyButton(() => text, "code"));
    }
    if (this.difference) {
      this.blocks.prepend(h("p", { class: "facts" }, this.difference.said));
    }
  }
}

/** An entry of a conversation: a question with its answers, or that somebody else answers now. */
class EntryView {
  constructor(item, actions) {
    this.actions = actions;
    this.id = item.id;
    this.answers = new Map();
    if (item.change !== undefined) {
      this.element = h("p", { class: "entry change" }, item.change);
      return;
    }
    this.question = h("div", { class: "question" });
    this.editor = null;
    this.shown = h("div", { class: "shown" });
    this.others = h("div");
    this.fold = h("details", { class: "others", hidden: true }, h("summary"), this.others);
    this.element = h("section", { class: "entry", "aria-label": "Question and answer" },
      h("div", { class: "asked" }, this.question, actions.edit
        ? h("span", { class: "row" },
          h("button", { type: "button", class: "quiet edit", title: "Ask something else here",
            "aria-label": "Edit this question", click: () => this.edit() }, "Edit"),
          h("button", { type: "button", class: "quiet keep", "aria-label": "Keep as case",
            title: "Put the questions up to here into an experiment file",
            click: () => this.keep() }, "Keep"))
        : null),
      this.shown, this.fold);
  }

  update(item) {
    if (item.change !== undefined) return;
    setText(this.question, item.question);
    this.text = item.question;
    for (const each of item.answers) {
      let view = this.answers.get(each.id);
      if (!view) this.answers.set(each.id, (view = new AnswerView(this.actions)));
      view.update(each);
    }
    for (const [id, view] of this.answers) {
      const place = id === item.chosen ? this.shown : this.others;
      if (view.element.parentNode !== place) place.append(view.element);
    }
    const more = this.answers.size - 1;
    this.fold.hidden = more < 1;
    setText(this.fold.firstChild, more === 1 ? "1 more answer" : `${more} more answers`);
  }

  get open() {
    return [...this.answers.values()].some((view) => view.open);
  }

  edit(question = this.text) {
    const text = h("textarea", { "aria-label": "Edited question", value: question, rows: 3 });
    this.openForm(text, "Ask again", ".edit", () => this.actions.edit(this.id, text.value));
  }

  keep(file = this.actions.source()) {
    const path = h("input", { type: "text", "aria-label": "Experiment file", spellcheck: false,
      value: file, placeholder: "experiments/mine.yaml" });
    this.openForm(path, "Keep as case", ".keep", () =>
      path.value.trim() && this.actions.keep(this.id, path.value));
  }

  /** A field below the question; what it is for is done with Enter, and given up with Escape. */
  openForm(field, said, opener, act) {
    this.editor?.remove();
    const done = () => {
      this.editor.remove();
      this.editor = null;
      this.element.querySelector(opener).focus();
    };
    const send = () => {
      act();
      done();
    };
    field.addEventListener("keydown", (event) => {
      if (isSend(event)) send();
      if (event.key === "Escape") {
        event.stopPropagation();
        done();
      }
    });
    this.editor = h("div", { class: "editor" }, field,
      h("div", { class: "row" },
        h("button", { type: "button", class: "main", click: send }, said),
        h("button", { type: "button", click: done }, "Cancel")));
    this.question.parentNode.after(this.editor);
    field.focus();
  }
}

function isSend(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return false;
  event.preventDefault();
  return true;
}
