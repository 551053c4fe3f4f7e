"""The page in Chromium: every tab used on a wide screen in light colours and on a phone in dark ones.

The oracle of the numbers is the library. axe-core looks for barriers if it is there: npm install --no-save axe-core.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from math import exp
from typing import Any

import pytest

from groundup.embeddings.vectors import WordVectors
from groundup.generation.sampling import Sampling
from groundup.inspection.continuation import continue_text
from groundup.inspection.logit_lens import logit_lens
from groundup.inspection.reading import attention_weights, trace_reading
from groundup.serving.page.files import ASSETS, HERE
from groundup.tasks.leave_one_out import leave_one_out
from groundup.tasks.translation import attention_of
from groundup.text.jsonl import read_jsonl
from tests.clone import ROOT
from tests.serving.running import CONFIG, Running, running, tiny_models

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = ROOT / "node_modules/axe-core/axe.min.js"
TABS = ("chat", "completion", "attention", "lens", "tokenizers", "spam", "translation", "words", "compare")
# a server that never answers
NEVER = """void (window.fetch = (_, { signal }) =>
  new Promise((_, refuse) => signal.addEventListener('abort', () => refuse(signal.reason))))"""
TIMEOUT = 60_000  # milliseconds; a machine may be overloaded
Page = Any  # playwright has types, but may be absent


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as runner:
        found = runner.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(params=[(1280, "light"), (375, "dark")], ids=["wide-light", "phone-dark"])
def screen(request: pytest.FixtureRequest, browser: Any, page: Running) -> Iterator[Page]:
    """A screen of one size and theme; fails for messages on the console and requests that leave the server."""
    width, theme = request.param
    context = browser.new_context(viewport={"width": width, "height": 740}, color_scheme=theme)
    found, wrong = context.new_page(), list[str]()
    found.set_default_timeout(TIMEOUT)
    found.on("console", lambda said: wrong.append(said.text))
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("request", lambda sent: None if sent.url.startswith(page.url) else wrong.append(sent.url))
    yield found
    context.close()
    assert not wrong


def open_tab(screen: Page, server: Running, tab: str) -> Any:
    screen.goto(f"{server.url}/#{tab}")
    screen.wait_for_selector("body[data-ready]")
    return screen.locator(f"#{tab}")


def values(screen: Page, selector: str, name: str) -> list[float]:
    found: list[str] = screen.eval_on_selector_all(
        selector, f"all => all.map(one => one.getAttribute('{name}'))"
    )
    return [float(value) for value in found]


def use(tab: Any, name: str) -> None:
    """Use a tab until it shows its result."""
    if name == "chat":
        tab.locator("[name=message]").fill("tea")
        tab.locator("[name=message]").press("Enter")
        tab.locator("li.assistant").wait_for()
        tab.locator(".template summary").click()
        tab.locator(".read .piece").first.wait_for()
    elif name == "compare":
        tab.locator("[name=temperature]").fill("0")
        tab.locator("[type=submit]").click()
        tab.locator(".votes button:enabled").first.click()
        tab.locator(".standings td").first.wait_for()
    elif name == "tokenizers":
        tab.locator(".piece").first.wait_for()
        tab.locator("[name=ids]").check()
    else:
        tab.locator("[type=submit]").click()
        tab.locator(".token, .heat td, .verdict data, .bars data").first.wait_for()


@contextmanager
def brief(page: Running) -> Iterator[None]:
    """Let the two models that answer say one word."""
    with page.saying("chat", "tea"), page.saying("instructed", "cake"):
        yield


def test_every_tab_can_be_used_and_has_no_barriers(screen: Page, page: Running) -> None:
    for name in TABS:
        tab = open_tab(screen, page, name)
        assert not tab.locator(".missing").is_visible() or name == "tokenizers"
        with brief(page) if name in ("chat", "compare") else nullcontext():
            use(tab, name)
        assert not tab.locator(".error").is_visible()
        size = screen.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert size[0] <= size[1], f"{name} is wider than the screen"
        if AXE.exists():
            screen.evaluate(AXE.read_text(encoding="utf-8"))
            found = screen.evaluate("axe.run().then(({ violations }) => violations)")
            assert not [(one["id"], one["nodes"][0]["html"]) for one in found]


@pytest.fixture
def wide(browser: Any, page: Running) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        found = context.new_page()
        found.set_default_timeout(TIMEOUT)
        yield found


def test_numbers_on_the_page_are_those_of_the_library(wide: Page, page: Running) -> None:
    chat, text = page.model("chat").checkpoint, page.model("text").checkpoint

    tab = open_tab(wide, page, "attention")
    tab.locator("select").select_option("chat")
    tab.locator("textarea").fill("tea and cake")
    tab.locator("[type=submit]").click()
    tab.get_by_role("button", name="Layer 2, head 3").click()
    seen = trace_reading(chat, "tea and cake")
    own = attention_weights(seen)[1, 2]
    assert values(wide, "#attention td[data-value]", "data-value") == [
        w for row in own.tolist() for w in row if w > 0
    ]

    tab = open_tab(wide, page, "lens")
    tab.locator("select").select_option("chat")
    tab.locator("textarea").fill("tea and")
    tab.locator("[type=submit]").click()
    tab.locator("tbody tr").nth(1).locator("td").nth(2).click()
    token = logit_lens(chat, "tea and", top=5).layers[1][2]
    expected = [*(exp(p) for _, p in token.top), exp(token.logprob)]
    assert values(wide, "#lens .detail data", "value") == expected

    tab = open_tab(wide, page, "spam")
    tab.locator("textarea").fill("tea and cake")
    tab.locator("[type=submit]").click()
    tab.locator("td").first.wait_for()
    whole, words = leave_one_out(page.model("spam").checkpoint, "tea and cake")
    ordered = sorted(words, key=lambda word: -abs(word.contribution))
    assert values(wide, "#spam data", "value") == [
        whole, *(number for word in ordered for number in (word.contribution, word.probability))
    ]  # fmt: skip

    tab = open_tab(wide, page, "translation")
    tab.locator("textarea").fill("he hath seen")
    tab.locator("[type=submit]").click()
    tab.locator("td[data-value]").first.wait_for()
    said = tab.locator("blockquote").text_content()
    weights = attention_of(page.model("translation").checkpoint, "he hath seen", said).weights
    assert values(wide, "#translation td[data-value]", "data-value") == weights.flatten().tolist()

    tab = open_tab(wide, page, "words")
    tab.locator("[name=word]").fill("tea")
    tab.locator("[type=submit]").click()
    tab.locator("data").first.wait_for()
    near = WordVectors.load(page.app.state.config.study / "embeddings/glove_mix").neighbours("tea", 12)
    assert values(wide, "#words data", "value") == [cosine for _, cosine in near]

    tab = open_tab(wide, page, "completion")
    tab.locator("select").select_option("text")
    tab.locator("textarea").fill("tea")
    for name, value in (("temperature", "1"), ("most", "5"), ("seed", "7")):
        tab.locator(f"[name={name}]").fill(value)
    tab.locator("[type=submit]").click()
    tab.locator(".token").first.wait_for()
    sampling = Sampling(temperature=1.0, top_p=0.95, seed=7)
    found = continue_text(text, text.tokenizer.encode("tea"), max_new_tokens=5, sampling=sampling, top=8)
    shown = values(wide, "#completion .token[data-probability]", "data-probability")
    assert shown == [exp(token.logprob) for token in found.scores]
    tab.locator(".token").nth(found.given).hover()
    expected = [exp(p) for _, p in found.scores[found.given - 1].top]
    assert values(wide, ".alternatives li data", "value") == expected


def test_another_token_is_chosen_with_the_keyboard_alone(wide: Page, page: Running) -> None:
    tab = open_tab(wide, page, "completion")
    tab.locator("[name=most]").fill("4")
    tab.locator("[name=text]").fill("tea")
    tab.locator("[name=text]").press("Tab")
    wide.keyboard.press("Enter")
    tab.locator(".token").first.wait_for()
    before = tab.locator(".token").all_text_contents()
    tab.locator(".token[tabindex='0']").focus()
    wide.keyboard.press("ArrowRight")
    place = int(wide.evaluate("document.activeElement.dataset.place"))
    wide.keyboard.press("Tab")
    wide.keyboard.press("Tab")
    wide.keyboard.press("Tab")
    chosen = wide.evaluate("document.activeElement.textContent")
    with wide.expect_response("**/inspect/continuation"):
        wide.keyboard.press("Enter")
    tab.locator(f".token[data-place='{place}']:focus").wait_for()
    after = tab.locator(".token").all_text_contents()
    assert after[:place] == before[:place]
    assert after[place] == chosen.replace("␣", " ")
    wide.keyboard.press("Escape")
    assert tab.locator(".alternatives").count() == 0


def test_tabs_maps_and_themes_by_keyboard(wide: Page, page: Running) -> None:
    open_tab(wide, page, "attention").locator("[type=submit]").click()
    wide.locator("#attention td.current").focus()
    detail = wide.locator("#attention .detail").text_content()
    wide.keyboard.press("ArrowUp")  # the cell above the diagonal is empty
    assert wide.locator("#attention .detail").text_content() == detail
    wide.keyboard.press("ArrowLeft")
    assert wide.locator("#attention .detail").text_content() != detail
    wide.locator("#tab-attention").focus()
    wide.keyboard.press("ArrowRight")
    assert wide.locator("#lens").is_visible() and not wide.locator("#attention").is_visible()
    assert wide.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    background = "getComputedStyle(document.body).backgroundColor"
    assert wide.evaluate(background) == "rgb(255, 255, 255)"
    wide.get_by_label("Dark").check(force=True)
    assert wide.evaluate(background) == "rgb(13, 17, 23)"
    wide.reload()
    assert wide.evaluate(background) == "rgb(13, 17, 23)"


def test_a_message_is_edited_and_sent_again_and_markup_stays_text(wide: Page, page: Running) -> None:
    tab = open_tab(wide, page, "chat")
    sent = list[Any]()
    wide.on("request", lambda one: sent.append(one.post_data_json) if "chat/completions" in one.url else None)
    tab.locator("select").select_option("chat")
    tab.locator(".system summary").click()
    tab.locator("[name=system]").fill("Be brief.")
    tab.locator("[name=most]").fill("8")
    for text in ("<img src=x onerror=alert(1)>", "two"):
        tab.locator("[name=message]").fill(text)
        tab.locator("[name=message]").press("Enter")
        tab.locator("[type=submit]:enabled").wait_for()
    assert tab.locator("li .text").first.text_content() == "<img src=x onerror=alert(1)>"
    assert wide.locator("img").count() == 0
    tab.get_by_role("button", name="Edit message 1").click()
    tab.locator("li textarea").fill("three")
    tab.get_by_role("button", name="Send again").click()
    tab.locator("[type=submit]:enabled").wait_for()
    assert tab.locator("li.user .text").all_text_contents() == ["three"]
    assert [len(one["messages"]) for one in sent] == [2, 4, 2]
    assert sent[2]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "three"},
    ]


HOSTILE = (  # markup and what ends an event; a long word and control characters; text from right to left
    "</p><script>document.title = 1</script><img src=x onerror=alert(1)><style>*{display:none}</style>"
    'data: [DONE]\n\ndata: {"error": {"message": "no"}}\r\n\r\n\u2028event: x',
    "W" * 120 + "\0\x07\x1b[31mred\x1b]0;title\x07\x0b\x85\ufeff\ufffd\u0301\u0301b",
    "שלום \u202eevil\u202d\u2066 (عربي)",
)


@pytest.mark.parametrize("screen", [(375, "dark")], indirect=True, ids=["phone-dark"])
def test_hostile_answers_stay_text_and_in_their_place(screen: Page, page: Running) -> None:
    screen.on("dialog", lambda dialog: pytest.fail(dialog.message))
    tab = open_tab(screen, page, "chat")
    title = screen.title()
    tab.locator("select").select_option("chat")
    for text in HOSTILE:
        with page.saying("chat", text):
            tab.get_by_role("button", name="New conversation").click()
            tab.locator("[name=message]").fill("tea")
            tab.locator("[name=message]").press("Enter")
            tab.locator("[type=submit]:enabled").wait_for()
        assert tab.locator("li.assistant .text").evaluate("one => one.textContent") == text
        assert not tab.locator(".error").is_visible() and tab.locator("li.assistant p").count() == 3
        direction = tab.locator("li.assistant .text").evaluate("one => getComputedStyle(one).direction")
        assert direction == ("rtl" if text is HOSTILE[-1] else "ltr")
        size = screen.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert size[0] <= size[1] and screen.title() == title
        assert screen.locator("main script, img").count() == 0


def test_an_answer_can_be_stopped(wide: Page, page: Running) -> None:
    tab = open_tab(wide, page, "chat")
    tab.locator("select").select_option("chat")
    wide.evaluate(NEVER)
    tab.locator("[name=message]").fill("tea")
    tab.locator("[name=message]").press("Enter")
    tab.get_by_role("button", name="Stop").click()
    assert tab.locator("li.assistant").text_content() == "chatStopped."
    assert tab.locator("[type=submit]").is_enabled()


def test_a_vote_is_kept_and_reveals_the_models(wide: Page, page: Running) -> None:
    tab = open_tab(wide, page, "compare")
    tab.locator("[name=message]").fill("Which one?")
    tab.locator("[name=temperature]").fill("0")
    with brief(page):
        tab.locator("[type=submit]").click()
        tab.locator(".votes button:enabled").first.wait_for()
    assert tab.locator(".answers .name").all_text_contents() == ["", ""]
    tab.get_by_role("button", name="B is better").click()
    tab.locator(".revealed:not(:empty)").wait_for()
    names = tab.locator(".answers .name").all_text_contents()
    row = read_jsonl(page.app.state.config.votes)[-1]
    assert [row["rejected_model"], row["chosen_model"]] == names and sorted(names) == ["chat", "instructed"]
    assert row["instruction"] == "Which one?"
    said = {"chat": "tea", "instructed": "cake"}
    assert (row["rejected"], row["chosen"]) == (said[names[0]], said[names[1]])


def test_there_is_no_vote_if_a_model_fails(wide: Page, page: Running) -> None:
    tab = open_tab(wide, page, "compare")
    works, breaks = page.model("chat").engine, page.model("instructed").engine
    with page.held("chat", after=0), page.held("instructed", after=0) as fail:
        tab.locator("[type=submit]").click()
        page.until(lambda: len(works) == len(breaks) == 1)
        fail(RuntimeError("it is broken"))
        tab.locator(".error:has-text('nothing to vote on')").wait_for()
        page.until(lambda: not len(works))  # the other answer is stopped
        assert "the server failed at this request" in tab.locator(".error").text_content()
        assert not tab.locator(".votes").is_visible() and tab.locator("[aria-busy]").count() == 0


def test_tabs_without_a_model_say_how_to_get_one(browser: Any, server: Running) -> None:
    with browser.new_context() as context:
        found = context.new_page()
        found.set_default_timeout(TIMEOUT)
        for name, command in (("translation", "make study"), ("words", "make study")):
            tab = open_tab(found, server, name)
            assert (
                command in tab.locator(".missing").text_content()
                and not tab.locator("form").first.is_visible()
            )


def test_a_server_with_a_key_asks_for_it_once(browser: Any) -> None:
    config = replace(CONFIG, api_key="s3cret")
    with running(tiny_models(config), config) as locked, browser.new_context() as context:
        found = context.new_page()
        found.set_default_timeout(TIMEOUT)
        found.goto(locked.url)
        for key in ("wrong", "s3cret"):
            found.get_by_label("API key").fill(key)
            found.get_by_role("button", name="Use it").click()
        found.wait_for_selector("body[data-ready]")
        use(open_tab(found, locked, "spam"), "spam")


def test_modules_are_small_and_nothing_comes_from_elsewhere() -> None:
    for path in (HERE / "index.html", *ASSETS.values()):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 250 or path.name == "index.html", path.name
        assert "http:" not in text.replace("http://www.w3.org/2000/svg", "") and "https:" not in text
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text and " style=" not in text
