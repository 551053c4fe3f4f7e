// A continued text: every token coloured by its probability, with the alternatives at its place.

import { ask } from "/assets/api.js";
import { $, $$, announce, el, handle, label, number, percent, visible } from "/assets/dom.js";

export function setUpCompletion(section) {
  const form = $(section, "form"), result = $(section, ".result"), text = $(section, ".scored"), more = $(form, "[name=more]");
  let tokens = [], given = 0, open = null, closing = null;

  const popup = el("div", { class: "alternatives card", role: "group", "aria-label": "Alternatives" });

  function close() {
    clearTimeout(closing);
    popup.remove();
    open?.setAttribute("aria-expanded", "false");
    open = null;
  }

  function show(button, place) {
    clearTimeout(closing);
    if (open === button) return;
    close();
    open = button;
    button.setAttribute("aria-expanded", "true");
    const { text: own, probability, top } = tokens[place];
    popup.replaceChildren(
      el("p", {}, el("strong", {}, label(own)), " ",
        probability == null ? "begins the text: nothing predicts it." : el("data", { value: probability }, percent(probability))),
      ...(top.length ? [el("ol", { class: "bars" }, ...top.map((other) =>
        el("li", { "--w": other.probability.toFixed(4) },
          el("button", { type: "button", class: "link", "data-id": other.id, onclick: () => run(tokens.slice(0, place).concat(other), true),
            "aria-label": `Continue with ${label(other.text)}, ${percent(other.probability)}` }, label(other.text)),
          el("data", { value: other.probability }, percent(other.probability)))))] : []));
    button.after(popup);
    const box = text.getBoundingClientRect(), at = button.getBoundingClientRect();
    popup.style.top = `${at.bottom - box.top}px`;
    popup.style.left = `${Math.max(0, Math.min(at.left - box.left, box.width - popup.offsetWidth))}px`;
  }

  const later = () => {
    clearTimeout(closing);
    closing = setTimeout(() => { if (!text.contains(document.activeElement)) close(); }, 250);
  };

  function draw() {
    close();
    text.replaceChildren(...tokens.flatMap((token, place) => {
      const button = el("button", { type: "button", class: place < given ? "token given" : "token",
        tabindex: place === Math.min(given, tokens.length - 1) ? "0" : "-1", "aria-expanded": "false", "data-place": place,
        "data-probability": token.probability, "--p": token.probability == null ? 0.5 : Math.sqrt(token.probability).toFixed(4),
        "aria-label": `${label(token.text)}, ${token.probability == null ? "given" : percent(token.probability)}`,
        onfocus: () => show(button, place), onclick: () => show(button, place), onpointerenter: () => show(button, place),
      }, visible(token.text));
      return token.text.includes("\n") ? [button, el("br")] : [button];
    }));
  }

  const run = handle(form, $(section, ".error"), async (signal, chosen, focus) => {
    const body = { model: $(form, "select").value, temperature: number(form, "temperature") || 0,
      max_new_tokens: number(form, "most") || 40, seed: number(form, "seed") || 0 };
    body[chosen ? "ids" : "text"] = chosen ? chosen.map(({ id }) => id) : $(form, "[name=text]").value;
    const begun = chosen ? given : null;
    const found = await ask("/inspect/continuation", body, signal);
    ({ tokens } = found);
    given = begun === null ? found.given : Math.min(begun, chosen.length);
    result.hidden = false;
    more.disabled = found.ended;
    $(section, ".ended").textContent = found.ended ? "The model ends the text here." : "";
    draw();
    if (focus) $(text, `[data-place="${Math.min(chosen.length - 1, tokens.length - 1)}"]`).focus();
    announce(tokens.slice(given).map((token) => token.text).join(""));
  });

  text.addEventListener("pointerleave", later);
  popup.addEventListener("pointerenter", () => clearTimeout(closing));
  text.addEventListener("focusout", (event) => { if (event.relatedTarget && !text.contains(event.relatedTarget)) close(); });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && open) {
      const button = open;
      button.focus();
      close();
    }
    const at = Number(document.activeElement?.dataset.place ?? NaN);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tokens.length - 1 }[event.key];
    const next = Number.isNaN(at) || to === undefined ? null : $(text, `[data-place="${to}"]`);
    if (!next) return;
    event.preventDefault();
    $$(text, ".token").forEach((token) => { token.tabIndex = token === next ? 0 : -1; });
    next.focus();
  });
  more.addEventListener("click", () => run(tokens, true));
  $(form, "select").addEventListener("change", () => { more.disabled = true; });
}
