// Translation, and the cross-attention while it is written.

import { ask } from "/assets/api.js";
import { $, announce, handle, label, percent } from "/assets/dom.js";
import { heatMap } from "/assets/grid.js";

export function setUpTranslation(section) {
  const form = $(section, "form"), result = $(section, ".result"), detail = $(section, ".detail");

  handle(form, $(section, ".error"), async (signal) => {
    const { translation, rows, columns, weights } = await ask("/inspect/translation",
      { model: $(form, "select").value, text: $(form, "[name=text]").value }, signal);
    result.hidden = false;
    $(section, "blockquote").textContent = translation;
    $(section, ".map").replaceChildren(heatMap({
      caption: "Cross-attention", rows, columns,
      cell: (row, column) => ({ value: weights[row][column], text: columns.length <= 20 ? Math.round(100 * weights[row][column]) : "",
        title: `${label(rows[row])} looks at ${label(columns[column])}: ${percent(weights[row][column])}` }),
      pick: (row, column) => {
        detail.textContent = `While it writes “${label(rows[row])}”, the model looks at “${label(columns[column])}” with ` +
          `${percent(weights[row][column])} of its attention.`;
      },
    }).element);
    announce(translation);
  });
}
