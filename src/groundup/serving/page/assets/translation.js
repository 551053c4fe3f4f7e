// Translation, and the cross-attention while it is written.

import { ask } from "/assets/api.js";
import { $, announce, handle, label, percent } from "/assets/dom.js";
import { heatMap } from "/assets/grid.js";

const NUMBERS = 20; // tokens up to which the cells have numbers

export function setUpTranslation(section) {
  const form = $(section, "form"), result = $(section, ".result"), detail = $(section, ".detail");

  handle(form, $(section, ".error"), async (signal) => {
    const { translation, rows, columns, weights } = await ask("/inspect/translation",
      { model: $(form, "select").value, text: $(form, "[name=text]").value }, signal);
    result.hidden = false;
    $(section, "blockquote").textContent = translation;
    $(section, ".looks").hidden = !rows.length;
    if (rows.length) $(section, ".map").replaceChildren(heatMap({
      caption: "Cross-attention", rows, columns,
      cell: (row, column) => {
        const value = weights[row][column];
        return columns.length <= NUMBERS ? { value, text: Math.round(100 * value) } : { value, text: "", name: percent(value) };
      },
      pick: (row, column) => {
        detail.textContent = `While it writes “${label(rows[row])}”, the model looks at “${label(columns[column])}” with ` +
          `${percent(weights[row][column])} of its attention.`;
      },
      start: [0, 0],
    }).element);
    announce(translation);
  });
}
