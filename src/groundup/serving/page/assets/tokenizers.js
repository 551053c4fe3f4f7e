// One text cut by every tokenizer.

import { ask } from "/assets/api.js";
import { $, announce, el, handle, visible } from "/assets/dom.js";

export function setUpTokenizers(section, overview) {
  const form = $(section, "form"), result = $(section, ".result"), ids = $(form, "[name=ids]");
  $(section, ".more").hidden = overview.tokenizers.length > 0;
  ids.addEventListener("change", () => result.classList.toggle("ids", ids.checked));

  const run = handle(form, $(section, ".error"), async (signal) => {
    const text = $(form, "[name=text]").value;
    const { tokenizers } = await ask("/inspect/tokenizers", { text }, signal);
    const letters = [...text].length;
    result.replaceChildren(...tokenizers.map(({ name, vocabulary, tokens, problem }) => problem
      ? el("article", { class: "card" }, el("h3", {}, name), el("p", { class: "soft" }, problem))
      : el("article", { class: "card" },
        el("h3", {}, name),
        el("p", { class: "soft" }, el("b", {}, String(tokens.length)), ` tokens, ` +
          `${(letters / Math.max(tokens.length, 1)).toFixed(1)} characters each; ${vocabulary.toLocaleString("en")} in the vocabulary`),
        el("div", { class: "tokens" }, ...tokens.map((token) =>
          el("span", { class: "piece", title: `id ${token.id}` }, visible(token.text), el("small", {}, String(token.id))))))));
    announce(tokenizers.filter(({ problem }) => !problem).map(({ name, tokens }) => `${name}: ${tokens.length} tokens`).join("; "));
  });
  section.addEventListener("shown", () => result.childElementCount || run());
  if (!section.hidden) run();
}
