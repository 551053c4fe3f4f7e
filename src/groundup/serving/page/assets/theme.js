// Light, dark, or as the system says; remembered in this browser.

const KEY = "groundup-theme";

function apply(choice) {
  const root = document.documentElement;
  if (choice === "auto") root.removeAttribute("data-theme");
  else root.dataset.theme = choice;
  document.dispatchEvent(new Event("themechange"));
}

export function setUpTheme(fieldset) {
  const known = localStorage.getItem(KEY);
  const choice = ["light", "dark"].includes(known) ? known : "auto";
  for (const input of fieldset.querySelectorAll("input")) {
    input.checked = input.value === choice;
    input.addEventListener("change", () => {
      localStorage.setItem(KEY, input.value);
      apply(input.value);
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    document.dispatchEvent(new Event("themechange")));
  apply(choice);
}
