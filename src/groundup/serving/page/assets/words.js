// Neighbours of a word among the study's word vectors.

import { ask } from "/assets/api.js";
import { $, announce, el, handle, lacks } from "/assets/dom.js";

export function setUpWords(section, overview) {
  const form = $(section, "form"), result = $(section, ".result"), select = $(form, "select"), word = $(form, "[name=word]");
  if (!overview.vectors.length) {
    lacks(section, "There are no word vectors. The study trains them: run `make study`, then start the server again.");
    return;
  }
  select.append(...overview.vectors.map((name) => el("option", { value: name }, name.replaceAll("_", " "))));
  select.value = overview.vectors.at(-1);

  const run = handle(form, $(section, ".error"), async (signal) => {
    const { neighbours } = await ask("/inspect/neighbours", { vectors: select.value, word: word.value }, signal);
    result.replaceChildren(...neighbours.map((near) =>
      el("li", { "--w": Math.max(0, near.cosine).toFixed(4) },
        el("button", { type: "button", class: "link", onclick: () => { word.value = near.word; run(); } }, near.word),
        el("data", { value: near.cosine }, near.cosine.toFixed(3)))));
    announce(`Neighbours of ${word.value}: ${neighbours.slice(0, 5).map((near) => near.word).join(", ")}.`);
  });
  select.addEventListener("change", () => run());
}
