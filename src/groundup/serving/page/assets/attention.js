// Attention: small multiples of every layer and head, one of them large.

import { ask } from "/assets/api.js";
import { $, $$, announce, el, handle, label, percent } from "/assets/dom.js";
import { heatMap } from "/assets/grid.js";

const NUMBERS = 14; // tokens up to which the cells have numbers

function decode(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, n) => view.getFloat32(4 * n, true));
}

/** Draw one head as a picture with a pixel per weight. */
function draw(canvas, weights, size, colour) {
  const image = new ImageData(size, size);
  for (let n = 0; n < size * size; n += 1) {
    image.data.set([...colour, Math.round(255 * weights[n])], 4 * n);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function heat() {
  const hex = getComputedStyle(document.documentElement).getPropertyValue("--picture").trim();
  return [1, 3, 5].map((n) => parseInt(hex.slice(n, n + 2), 16));
}

export function setUpAttention(section) {
  const form = $(section, "form"), result = $(section, ".result"), heads = $(section, ".heads");
  const which = $(section, ".which"), map = $(section, ".map"), detail = $(section, ".detail");
  let seen = null;

  const weightsOf = (layer, head) => {
    const start = (layer * seen.heads + head) * seen.size ** 2;
    return seen.weights.subarray(start, start + seen.size ** 2);
  };

  function describe(weights, row, column) {
    const size = seen.size;
    const order = [...Array(size).keys()].map((n) => [weights[row * size + n], n]);
    const best = order.sort((a, b) => b[0] - a[0]).slice(0, 5);
    detail.replaceChildren(
      el("strong", {}, label(seen.tokens[row])), " looks at ", el("strong", {}, label(seen.tokens[column])),
      ` with ${percent(weights[row * size + column])} of its attention. Most: `,
      best.map(([w, n]) => `${label(seen.tokens[n])} ${percent(w)}`).join(", "), ".");
  }

  function show(layer, head) {
    const weights = weightsOf(layer, head), size = seen.size;
    for (const button of $$(heads, "button")) {
      button.setAttribute("aria-pressed", String(button.dataset.place === `${layer},${head}`));
    }
    which.textContent = `Layer ${layer + 1}, head ${head + 1}`;
    const made = heatMap({
      caption: `Attention of layer ${layer + 1}, head ${head + 1}`,
      rows: seen.tokens, columns: seen.tokens,
      cell: (row, column) => {
        const value = weights[row * size + column];
        if (value === 0) return null;
        return size <= NUMBERS ? { value, text: Math.round(100 * value) } : { value, text: "", name: percent(value) };
      },
      pick: (row, column) => describe(weights, row, column),
      start: [size - 1, size - 1],
    });
    map.replaceChildren(made.element);
  }

  const paint = () => {
    if (!seen) return;
    const colour = heat();
    for (const canvas of $$(heads, "canvas")) {
      const [layer, head] = canvas.parentNode.dataset.place.split(",").map(Number);
      draw(canvas, weightsOf(layer, head), seen.size, colour);
    }
  };
  document.addEventListener("themechange", paint);

  handle(form, $(section, ".error"), async (signal) => {
    const found = await ask("/inspect/attention",
      { model: $(form, "select").value, text: $(form, "[name=text]").value }, signal);
    const [layers, count, size] = found.shape;
    seen = { tokens: found.tokens, weights: decode(found.weights), layers, heads: count, size };
    result.hidden = false;
    heads.classList.toggle("many", count > 4);
    heads.replaceChildren(...Array.from({ length: layers }, (_, layer) =>
      el("div", { class: "layer", role: "group", "aria-label": `Layer ${layer + 1}` },
        el("span", { class: "soft" }, `Layer ${layer + 1}`),
        el("div", { class: "row" }, ...Array.from({ length: count }, (_, head) =>
          el("button", { type: "button", "data-place": `${layer},${head}`,
            "aria-label": `Layer ${layer + 1}, head ${head + 1}`, onclick: () => show(layer, head) },
          el("canvas", { width: size, height: size })))))));
    paint();
    show(0, 0);
    announce(`Attention of ${layers} layers with ${count} heads each.`);
  });
}
