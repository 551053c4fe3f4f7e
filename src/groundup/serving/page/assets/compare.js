// Two models answer blindly; the vote is kept as a preference pair.

import { ask, reply } from "/assets/api.js";
import { $, $$, announce, el, handle, number } from "/assets/dom.js";

export function setUpCompare(section, overview) {
  const form = $(section, "form"), result = $(section, ".result"), revealed = $(section, ".revealed");
  const cards = $$(section, ".answers article"), buttons = $$(section, ".votes button"), standings = $(section, ".standings");
  const [one, other] = $$(form, "select"), error = $(section, ".error");
  let asked = null;

  const enable = (on) => buttons.forEach((button) => { button.disabled = !on; });

  function show({ models }) {
    const names = Object.keys(models);
    standings.hidden = !names.length;
    $(standings, "table").replaceChildren(
      el("thead", {}, el("tr", {}, ...["Model", "Won", "Lost", "Tied"].map((title, n) =>
        el("th", { scope: "col", class: n ? "n" : null }, title)))),
      el("tbody", {}, ...names.map((name) => el("tr", {}, el("th", { scope: "row" }, name),
        ...["won", "lost", "tied"].map((key) => el("td", { class: "n" }, String(models[name][key])))))));
  }

  handle(form, error, async (signal) => {
    if (one.value === other.value) throw new Error("Choose two different models.");
    const models = [one.value, other.value];
    if (crypto.getRandomValues(new Uint8Array(1))[0] % 2) models.reverse();
    const prompt = $(form, "textarea").value;
    asked = { prompt, models, answers: ["", ""] };
    const mine = asked, pair = new AbortController();
    signal.addEventListener("abort", () => pair.abort());
    result.hidden = false;
    revealed.textContent = "";
    enable(false);
    cards.forEach((card) => { $(card, ".text").textContent = $(card, ".name").textContent = ""; card.classList.remove("won"); });
    // nothing is shown before both are there, since the speed would tell which is which
    await Promise.all(models.map(async (model, place) => {
      const body = { model, messages: [{ role: "user", content: prompt }], temperature: number(form, "temperature") || 0,
        max_completion_tokens: 200 };
      for await (const piece of reply(body, pair.signal)) mine.answers[place] += piece;
    })).catch((problem) => {
      pair.abort(); // the other answer, which nobody can compare
      if (problem.name === "AbortError") throw problem;
      result.hidden = true;
      throw new Error(`One of the two models has failed, so there is nothing to vote on; ask again. It says: ${problem.message}`);
    });
    cards.forEach((card, place) => { $(card, ".text").textContent = mine.answers[place].trim() || "(no answer)"; });
    enable(overview.keeps_votes);
    if (overview.keeps_votes && mine.answers.some((answer) => !answer.trim())) {
      buttons.forEach((button) => { button.disabled = button.dataset.better !== ""; });
      revealed.textContent = "An answer is empty, which no model can learn from: call it a tie, or ask again.";
    }
    if (!overview.keeps_votes) revealed.textContent = "This server keeps no votes.";
    announce("Both have answered.");
  });

  async function vote(better) {
    enable(false);
    const mine = asked;
    try {
      const { models } = await ask("/inspect/votes", { ...mine, better });
      show({ models });
      if (mine !== asked) return; // the cards are those of the next comparison, whose models stay hidden
      cards.forEach((card, place) => {
        $(card, ".name").textContent = mine.models[place];
        card.classList.toggle("won", place === better);
      });
      revealed.textContent = better === null ? `A tie between ${mine.models.join(" and ")}.`
        : `You prefer ${mine.models[better]} to ${mine.models[1 - better]}.`;
    } catch (problem) {
      error.textContent = problem.message;
      error.hidden = false;
      if (mine === asked) enable(true);
    }
  }

  buttons.forEach((button) => button.addEventListener("click", () =>
    vote(button.dataset.better === "" ? null : Number(button.dataset.better))));
  if (overview.keeps_votes) ask("/inspect/votes").then(show, () => {});
}
