// Spam: the probability, and what each word contributes.

import { ask } from "/assets/api.js";
import { $, announce, el, handle, percent, signed } from "/assets/dom.js";

export function setUpSpam(section) {
  const form = $(section, "form"), result = $(section, ".result");
  const verdict = $(section, ".verdict"), shown = $(section, ".words"), table = $(section, "table");

  handle(form, $(section, ".error"), async (signal) => {
    const text = $(form, "[name=text]").value;
    const { probability, words } = await ask("/inspect/spam", { model: $(form, "select").value, text }, signal);
    const largest = Math.max(1, ...words.map(({ contribution }) => Math.abs(contribution)));
    const share = (word) => (word.contribution / largest).toFixed(4);
    result.hidden = false;
    const is = probability >= 0.5 ? "spam" : "not spam";
    verdict.replaceChildren(
      el("p", { class: "big" }, el("data", { value: probability }, percent(probability)), " spam"),
      el("meter", { min: 0, max: 1, value: probability, "aria-label": "Probability of spam" }),
      el("p", { class: "soft" }, `The classifier calls it ${is}.`));
    shown.replaceChildren(...words.flatMap((word) => [
      el("span", { class: word.contribution < 0 ? "word ham" : "word", "--w": Math.abs(share(word)),
        title: `${signed(word.contribution)}; without it ${percent(word.probability)}` }, word.word), " "]));
    const ordered = [...words].sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
    table.replaceChildren(
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Word"), el("th", { scope: "col", class: "n" }, "Contribution"),
        el("th", { scope: "col", class: "n" }, "Without it"))),
      el("tbody", {}, ...ordered.map((word) => el("tr", {},
        el("th", { scope: "row" }, word.word),
        el("td", { class: "n" }, el("data", { value: word.contribution }, signed(word.contribution))),
        el("td", { class: "n" }, el("data", { value: word.probability }, percent(word.probability)))))));
    announce(`${percent(probability)} spam.`);
  });
}
