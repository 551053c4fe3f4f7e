// The logit lens: a table of layers and positions.

import { ask } from "/assets/api.js";
import { $, announce, el, handle, label, percent } from "/assets/dom.js";
import { heatMap } from "/assets/grid.js";

export function setUpLens(section, overview) {
  const form = $(section, "form"), result = $(section, ".result");
  const map = $(section, ".map"), detail = $(section, ".detail");

  handle(form, $(section, ".error"), async (signal) => {
    const model = overview.models.find(({ name }) => name === $(form, "select").value);
    const { tokens, layers } = await ask("/inspect/lens",
      { model: model.name, text: $(form, "[name=text]").value }, signal);
    const names = layers.map((_, n) => (n === 0 ? "embeddings" : `layer ${n}`));
    const [next, last] = model.kind === "decoder" ? ["the next token of the text", "the end of the text"]
      : ["the token of the text", "the end of the text"];

    const describe = (row, column) => {
      const { top, text, probability } = layers[row][column];
      detail.replaceChildren(
        el("p", {}, `After ${names[row]}, at `, el("strong", {}, label(tokens[column])), ", the model would say:"),
        el("ol", { class: "bars" }, ...top.map((one) =>
          el("li", { "--w": one.probability.toFixed(4) }, el("span", {}, label(one.text)),
            el("data", { value: one.probability }, percent(one.probability))))),
        el("p", { class: "soft" }, `It gives ${column === tokens.length - 1 ? last : next}, `, el("strong", {}, label(text)),
          ", ", el("data", { value: probability }, percent(probability)), "."));
    };
    result.hidden = false;
    map.replaceChildren(heatMap({
      caption: "What each layer would say", corner: "", rows: names, columns: tokens, wide: true,
      cell: (row, column) => {
        const [best] = layers[row][column].top;
        return { text: label(best.text), value: best.probability, name: `${label(best.text)} ${percent(best.probability)}` };
      },
      pick: describe, start: [layers.length - 1, tokens.length - 1],
    }).element);
    map.firstElementChild.scrollLeft = map.firstElementChild.scrollWidth; // to the last token, which is described
    announce(`${layers.length} rows, ${tokens.length} positions.`);
  });
}
