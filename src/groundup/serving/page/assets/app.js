// The page: tabs, models, and one module per tab.

import { ask } from "/assets/api.js";
import { $$, el, lacks } from "/assets/dom.js";
import { setUpTheme } from "/assets/theme.js";
import { setUpAttention } from "/assets/attention.js";
import { setUpChat } from "/assets/chat.js";
import { setUpCompare } from "/assets/compare.js";
import { setUpCompletion } from "/assets/completion.js";
import { setUpLens } from "/assets/lens.js";
import { setUpSpam } from "/assets/spam.js";
import { setUpTokenizers } from "/assets/tokenizers.js";
import { setUpTranslation } from "/assets/translation.js";
import { setUpWords } from "/assets/words.js";

const TABS = {
  chat: setUpChat, completion: setUpCompletion, attention: setUpAttention, lens: setUpLens,
  tokenizers: setUpTokenizers, spam: setUpSpam, translation: setUpTranslation, words: setUpWords,
  compare: setUpCompare,
};

// which models fit, how many are needed, and how to get one
const FITTING = {
  chats: [(m) => m.chats,
    "No loaded model was trained to answer. Train one with `make repro`, or name one: `groundup serve data/models/instructions`."],
  decoder: [(m) => m.kind === "decoder",
    "No loaded model writes text. Train one with `make repro`, or name one: `groundup serve data/models/pretrained`."],
  language: [(m) => ["decoder", "encoder"].includes(m.kind),
    "No loaded model predicts words. Train one with `make repro`, or name one: `groundup serve data/models/pretrained`."],
  reader: [(m) => m.kind !== "encoder_decoder",
    "No loaded model reads a single text. Train one with `make repro`, or name one: `groundup serve data/models/pretrained`."],
  spam: [(m) => m.labels.includes("spam"),
    "No spam classifier is loaded. Train one with `make repro`, or name one: `groundup serve data/models/spam`."],
  encoder_decoder: [(m) => m.kind === "encoder_decoder",
    "No translator is loaded. The study trains one: run `make study`, then start the server again."],
};

function size(parameters) {
  return parameters < 1e6 ? `${Math.round(parameters / 1e3)}k` : `${(parameters / 1e6).toFixed(parameters < 1e8 ? 1 : 0)}M`;
}

/** Fill the choices of models; say what is missing where no model fits. */
function fillModels(section, overview) {
  const selects = $$(section, "select[data-models]");
  for (const [place, select] of selects.entries()) {
    const [fits, otherwise] = FITTING[select.dataset.models];
    const models = overview.models.filter(fits);
    // a model that was trained to answer says little about other texts
    if (select.dataset.models !== "chats") models.sort((a, b) => a.chats - b.chats);
    for (const model of models) {
      select.append(el("option", { value: model.name }, `${model.name} (${size(model.parameters)})`));
    }
    select.selectedIndex = Math.min(place, models.length - 1);
    if (!models.length) lacks(section, otherwise);
    else if (models.length < selects.length) {
      lacks(section, "A comparison needs two models that answer. Start the server with both, as in " +
        "`groundup serve data/models/instructions smollm2-135m`, which fetches the second at its first use.");
    }
  }
}

function setUpTabs(sections) {
  const bar = document.getElementById("tabs");
  const tabs = sections.map((section) => {
    section.setAttribute("role", "tabpanel");
    section.setAttribute("aria-labelledby", `tab-${section.id}`);
    const tab = el("button", { type: "button", role: "tab", id: `tab-${section.id}`,
      "aria-controls": section.id, onclick: () => { location.hash = section.id; } }, section.dataset.title);
    bar.append(tab);
    return tab;
  });
  const choose = (id, focus) => {
    const place = Math.max(0, sections.findIndex((section) => section.id === id));
    sections.forEach((section, n) => { section.hidden = n !== place; });
    tabs.forEach((tab, n) => {
      tab.setAttribute("aria-selected", String(n === place));
      tab.tabIndex = n === place ? 0 : -1;
    });
    tabs[place].scrollIntoView({ block: "nearest", inline: "center" });
    if (focus) tabs[place].focus();
    document.title = `${sections[place].dataset.title} – groundup`;
    sections[place].dispatchEvent(new Event("shown"));
  };
  bar.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(document.activeElement), last = tabs.length - 1;
    const to = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    history.replaceState(null, "", `#${sections[to].id}`);
    choose(sections[to].id, true);
  });
  addEventListener("hashchange", () => {
    if (sections.some((section) => `#${section.id}` === location.hash)) choose(location.hash.slice(1));
  });
  choose(location.hash.slice(1));
}

async function start() {
  setUpTheme(document.getElementById("theme"));
  const sections = $$(document, "main > section");
  setUpTabs(sections);
  const overview = await ask("/inspect/overview");
  for (const section of sections) {
    fillModels(section, overview);
    TABS[section.id](section, overview);
  }
  document.body.dataset.ready = "yes";
}

start().catch((problem) => {
  document.getElementById("panels").prepend(el("p", { class: "error", role: "alert" }, problem.message));
});
