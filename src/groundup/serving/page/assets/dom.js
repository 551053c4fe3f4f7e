// Small helpers around the DOM. Text is only ever inserted as text.

export const $ = (root, selector) => root.querySelector(selector);
export const $$ = (root, selector) => [...root.querySelectorAll(selector)];

/** Make an element: attributes by name (on… = listener, true = present), then children or texts. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) made.style.setProperty(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** Turn a sentence with `code` in backquotes into nodes. */
export const sentence = (text) =>
  text.split("`").map((part, n) => (n % 2 ? el("code", {}, part) : part));

/** Say something to screen readers. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}

/** The text of a token with its invisible characters made visible; empty tokens too. */
export function visible(text) {
  return text === "" ? "∅" : text.replaceAll("\n", "⏎").replaceAll("\t", "⇥")
    // control characters and those that change the direction of text, among others
    .replace(/[\p{Cc}\p{Cf}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** A token in a table or a list, where a space at its edge must be seen. */
export const label = (text) => visible(text).replace(/^ +| +$/g, (blanks) => "␣".repeat(blanks.length));

export function percent(p) {
  if (p == null) return "–";
  if (p > 0 && p < 0.0005) return "<0.1%";
  if (p < 1 && p > 0.9995) return ">99.9%";
  return `${(100 * p).toFixed(1)}%`;
}

export function signed(value) {
  const size = Math.abs(value).toFixed(2);
  return size === "0.00" ? size : `${value < 0 ? "−" : "+"}${size}`;
}

/** Let a form call `work(signal)`, with its button busy, and show what goes wrong. A new call ends the one before. */
export function handle(form, error, work) {
  let running = null;
  const run = async (...given) => {
    running?.abort();
    const mine = (running = new AbortController());
    error.hidden = true;
    form.setAttribute("aria-busy", "true");
    try {
      await work(mine.signal, ...given);
    } catch (problem) {
      if (problem.name !== "AbortError") {
        error.textContent = problem.message;
        error.hidden = false;
      }
    } finally {
      if (running === mine) form.removeAttribute("aria-busy");
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  return run;
}

export const number = (root, name) => $(root, `[name=${name}]`).valueAsNumber;

/** Show why a tab cannot be used, instead of its content. */
export function lacks(section, text) {
  const missing = $(section, ".missing");
  missing.replaceChildren(...sentence(text));
  missing.hidden = false;
  $(section, ".body").hidden = true;
}
