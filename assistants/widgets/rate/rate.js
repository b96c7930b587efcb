// The page of Rate: a question, two answers, and four ways to judge them.

const VOTES = [
  ["left", "1", "Left is better"],
  ["tie", "3", "Tie"],
  ["both bad", "4", "Both are bad"],
  ["right", "2", "Right is better"],
];

function render({ model, el }) {
  let gone = false;
  const { send: wish, element: waiting, rest, off } = talk(model);
  const send = (message) => gone || wish(message);
  const vote = (winner) => {
    if (model.get("question")) send({ do: "vote", winner, turn: model.get("turn") });
  };
  const keys = { u: () => send({ do: "undo" }), s: () => model.get("question") && send({ do: "skip" }) };
  for (const [winner, key] of VOTES) keys[key] = () => vote(winner);

  const progress = h("progress", { "aria-label": "Rated" });
  const counted = h("span", { class: "facts" });
  const heard = h("div", { class: "heard", "aria-live": "polite", role: "status" });
  const notice = h("div", { class: "notice", role: "alert", hidden: true });
  const rater = h("input", { type: "text", maxLength: 100, spellcheck: false, "aria-label": "Rated by",
    change: () => rater.value.trim() ? send({ do: "rater", name: rater.value }) : drawRater() });

  const pair = h("div", { class: "pair", tabIndex: 0, role: "group", "aria-label": "Two answers to compare" });
  const tally = h("div", { class: "tally", tabIndex: 0, role: "group", "aria-label": "Result" });

  const button = (key, label, click, more = {}) => h("button",
    { type: "button", "aria-keyshortcuts": key, click, ...more }, h("kbd", { "aria-hidden": "true" }, key), label);
  const votes = VOTES.map(([winner, key, label]) =>
    button(key, label, () => vote(winner), { class: "vote", "data-vote": winner }));
  const judging = h("div", { class: "row votes" }, votes);
  const undo = button("u", "Undo", keys.u);
  const skip = button("s", "Skip", keys.s);
  const reveal = h("button", { type: "button", class: "quiet",
    click: () => send({ do: model.get("revealed") ? "hide" : "reveal" }) });

  const root = h("div", { class: "assistants-live rate", role: "region", "aria-label": "Blind rating" },
    h("header", { class: "row top" }, h("b", {}, "Which answer is better?"), h("span", { class: "space" }),
      counted, progress, h("label", { class: "field" }, "Rated by", rater)),
    notice, pair, tally,
    h("footer", { class: "bottom" }, judging,
      h("div", { class: "row" }, undo, skip, h("span", { class: "space" }), waiting, reveal)),
    heard);

  root.addEventListener("keydown", (event) => {
    // The notebook has shortcuts of its own; Ctrl+S still saves.
    if (!(event.ctrlKey || event.metaKey) || event.key === "Enter") event.stopPropagation();
    if (event.target === rater || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const act = keys[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });

  function drawRater() {
    if (document.activeElement !== rater || rater.value.trim()) rater.value = model.get("rater");
  }

  function drawPair() {
    const blind = Boolean(model.get("question"));
    const inside = root.contains(document.activeElement);
    pair.hidden = !blind;
    tally.hidden = blind;
    const last = { question: model.get("question"), left: model.get("left"), right: model.get("right") };
    const turns = blind ? [...model.get("earlier"), last] : [];
    pair.replaceChildren(...turns.flatMap((turn, at) => drawTurn(turn, turns.length > 1 ? ` ${at + 1}` : "")));
    pair.scrollTop = 0;
    const said = `${model.get("voted")} of ${model.get("total")}`;
    setText(counted, `${said} rated`);
    setText(heard, model.get("done") ? `${said}. All pairs are rated.` : said);
    progress.max = model.get("total");
    progress.value = model.get("voted");
    judging.hidden = skip.hidden = !blind;
    undo.disabled = !model.get("voted");
    setText(reveal, model.get("revealed") ? "Hide the names and go on" : "Show the result so far");
    reveal.hidden = model.get("done");
    drawTally();
    // What is gone must not take the keyboard along.
    const focused = document.activeElement;
    if (inside && (!root.contains(focused) || focused.disabled || !focused.offsetParent)) {
      (blind ? pair : tally).focus({ preventScroll: true });
    }
  }

  function drawTally() {
    const rows = model.get("tally");
    const names = ["won", "lost", "tie", "both bad"];
    tally.replaceChildren(
      h("p", {}, h("b", {}, model.get("done") ? "Every pair is rated." : "The result so far."),
        rows.length ? "" : " Nothing is rated yet."),
      rows.length ? h("table", {},
        h("thead", {}, h("tr", {}, ["Persona", "Share of wins", "", ...names].map((name) =>
          h("th", { scope: "col" }, name)))),
        h("tbody", {}, rows.map((row) => h("tr", {},
          h("th", { scope: "row" }, row.persona),
          h("td", { class: "number" }, `${Math.round(row.share * 100)}%`),
          h("td", {}, h("meter", { min: 0, max: 1, value: row.share, "aria-hidden": "true" })),
          names.map((name) => h("td", { class: "number" }, String(row[name])))))))
        : "",
      rows.length ? h("p", { class: "facts" }, "A tie, and both bad, is half a win for each. ",
        h("code", {}, 'run.ranking("votes")'), " says how sure this is.") : "");
  }

  function drawNotice() {
    const said = gone ? "The kernel is gone: run the cell again. Every vote is stored."
      : model.get("notice");
    setText(notice, said);
    notice.hidden = !said;
    if (said) drawRater();
  }

  function lose() {
    gone = true;
    rest();
    disable(root);
    drawNotice();
  }

  const drawn = { turn: drawPair, rater: drawRater, notice: drawNotice };
  for (const [trait, draw] of Object.entries(drawn)) model.on(`change:${trait}`, draw);
  drawRater();
  drawPair();
  drawNotice();
  root.hidden = true; // until a kernel answers: without one there is the copy below to read
  el.append(root);
  const endings = [off, whenGone(model, lose), keepCopy(model), listen(model, {
    snapshot() { root.hidden = false; },
    item() {},
  })];
  return () => {
    for (const end of endings) end();
    for (const [trait, draw] of Object.entries(drawn)) model.off(`change:${trait}`, draw);
  };
}

/** A question and both answers to it; `number` tells it from the other ones, if there are any. */
function drawTurn(turn, number) {
  const asked = h("div", { class: "markdown asked-of" });
  dress(asked, turn.question);
  const sides = ["left", "right"].map((side) => {
    const text = h("div", { class: "markdown" });
    dress(text, turn[side]);
    return h("article", { class: "side", "aria-label": `Answer${number} on the ${side}` },
      h("h4", {}, side === "left" ? "Left" : "Right"), text);
  });
  return [h("section", { "aria-label": `Question${number}` }, asked), h("div", { class: "sides" }, sides)];
}

export default { render };
