// A conversation: streaming, stop, edit, and the prompt as the model reads it.

import { ask, reply } from "/assets/api.js";
import { $, announce, el, number, visible } from "/assets/dom.js";

export function setUpChat(section, overview) {
  const list = $(section, ".messages"), form = $(section, "form"), box = $(form, "textarea"), error = $(section, ".error");
  const stop = $(form, "[name=stop]"), send = $(form, "[type=submit]"), select = $(section, "select");
  const template = $(section, ".template"), system = $(section, "[name=system]");
  let messages = [], running = null;

  /** Messages as the server takes them, after the system prompt if there is one. */
  const conversation = (said) => {
    const plain = said.map(({ role, content }) => ({ role, content }));
    const prompt = system.disabled ? "" : system.value;
    return prompt.trim() ? [{ role: "system", content: prompt }, ...plain] : plain;
  };

  function edit(place, item) {
    const area = el("textarea", { rows: 3, dir: "auto", "aria-label": "Your message" });
    area.value = messages[place].content;
    const again = () => {
      if (!area.value.trim()) return;
      running?.abort();
      messages = messages.slice(0, place);
      request(area.value);
    };
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") draw();
      else if (isSend(event)) { event.preventDefault(); again(); }
    });
    $(item, ".text").replaceWith(area);
    $(item, ".actions").replaceChildren(
      el("button", { type: "button", class: "main", onclick: again }, "Send again"),
      el("button", { type: "button", onclick: () => draw() }, "Cancel"));
    area.focus();
  }

  function draw() {
    list.replaceChildren(...messages.map(({ role, content, model, stopped }, place) => {
      const item = el("li", { class: role },
        el("p", { class: "who soft" }, role === "user" ? "You" : model),
        el("p", { class: "text", dir: "auto" }, content),
        stopped ? el("p", { class: "soft" }, stopped) : null,
        el("p", { class: "actions" }));
      if (role === "user") {
        $(item, ".actions").append(el("button", { type: "button", class: "quiet",
          "aria-label": `Edit message ${place / 2 + 1}`, onclick: () => edit(place, item) }, "Edit"));
      }
      return item;
    }));
    list.lastElementChild?.scrollIntoView({ block: "nearest" });
  }

  async function request(text) {
    error.hidden = true;
    messages.push({ role: "user", content: text });
    const body = { model: select.value, messages: conversation(messages), temperature: number(section, "temperature") || 0,
      max_completion_tokens: number(section, "most") || 256 };
    const answer = { role: "assistant", content: "", model: select.value };
    messages.push(answer);
    draw();
    const mine = (running = new AbortController());
    stop.hidden = false;
    send.disabled = true;
    list.setAttribute("aria-busy", "true");
    try {
      for await (const piece of reply(body, mine.signal)) {
        answer.content += piece;
        if (messages.includes(answer)) $(list.lastElementChild, ".text").textContent = answer.content;
      }
      announce(`${answer.model}: ${answer.content}`);
    } catch (problem) {
      answer.stopped = problem.name === "AbortError" ? "Stopped." : "Broken off: the answer is not complete.";
      if (problem.name !== "AbortError") {
        error.textContent = problem.message;
        error.hidden = false;
        if (!answer.content && messages.includes(answer)) {
          messages = messages.slice(0, -2);
          box.value ||= text;
        }
      }
    } finally {
      if (running === mine) {
        running = null;
        stop.hidden = true;
        send.disabled = false;
        list.removeAttribute("aria-busy");
        if (!$(list, "textarea")) draw(); // else a message is being edited
        showTemplate();
        if (document.activeElement === document.body) box.focus();
      }
    }
  }

  async function showTemplate() {
    if (!template.open) return;
    const draft = box.value.trim() || (messages.length ? "" : "…");
    const asked = messages.findLastIndex(({ role }) => role === "user");
    const shown = conversation(draft ? [...messages, { role: "user", content: draft }] : messages.slice(0, asked + 1));
    const place = $(template, ".tokens");
    try {
      const { tokens, context } = await ask("/inspect/prompt", { model: select.value, messages: shown });
      place.replaceChildren(...tokens.flatMap(({ id, text }) => [
        el("span", { class: "piece", title: `id ${id}` }, visible(text)), ...(text.includes("\n") ? [el("br")] : [])]));
      $(template, ".count").textContent = `(${tokens.length} of ${context} tokens)`;
    } catch (problem) {
      place.textContent = problem.message;
    }
  }

  const isSend = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing;
  box.addEventListener("keydown", (event) => {
    if (!isSend(event)) return;
    event.preventDefault();
    if (!send.disabled) form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = box.value;
    if (!text.trim()) return;
    box.value = "";
    request(text);
  });
  stop.addEventListener("click", () => { running?.abort(); box.focus(); });
  $(section, "[name=clear]").addEventListener("click", () => {
    running?.abort();
    messages = [];
    draw();
    showTemplate();
    box.focus();
  });
  const choose = () => {
    const model = overview.models.find(({ name }) => name === select.value);
    system.disabled = !model?.has_template;
    $(section, ".system").hidden = system.disabled;
    $(section, ".note").hidden = !system.disabled;
    showTemplate();
  };
  select.addEventListener("change", choose);
  template.addEventListener("toggle", showTemplate);
  box.addEventListener("input", showTemplate);
  system.addEventListener("input", showTemplate);
  choose();
}
