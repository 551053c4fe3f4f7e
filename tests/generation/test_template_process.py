import os
import sys
from collections.abc import Iterator

import pytest

from groundup.generation import template_process
from groundup.generation.template_process import TemplateFault, TemplateProcess


@pytest.fixture(scope="module")
def process() -> Iterator[TemplateProcess]:
    process = TemplateProcess()
    yield process
    process.close()


@pytest.mark.parametrize(
    ("source", "stage", "words"),
    [
        ("{{ 'a' * 10**10 }}", "render", "MemoryError: it needs more than 1,073,741,824 bytes"),
        (
            "{% set x = namespace(a='a') %}{% for i in range(99) %}{% set x.a = x.a ~ x.a %}{% endfor %}",
            "render",
            "MemoryError",
        ),
        (
            "{% for i in range(9999) %}{{ 'a' * 9999 }}{% endfor %}",
            "render",
            "TooLong: it has written more than 16,777,216 characters",
        ),
        (
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "render",
            "RecursionError: it is nested too deeply",
        ),
        ("{% if x %}" * 5000 + "{% endif %}" * 5000, "compile", "RecursionError: it is nested too deeply"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "compile", "RecursionError"),
        ("{% if x", "compile", "TemplateSyntaxError"),
        ("{{ raise_exception('no ' ~ x) }}", "render", "TemplateError: no 1"),
        ("{{ x.__class__.__mro__ }}", "render", "SecurityError: access to attribute '__class__'"),
    ],
)
def test_what_exceeds_a_limit_or_fails_is_said(
    process: TemplateProcess, source: str, stage: str, words: str
) -> None:
    with pytest.raises(TemplateFault) as caught:
        process.render(source, {"x": 1})
    assert caught.value.stage == stage and words in str(caught.value)
    assert process.render("{{ x }}", {"x": "ä\ud800"}) == "ä\ud800"


def test_an_endless_template_is_stopped(process: TemplateProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    assert process.render("{{ x }}", {"x": 1}) == "1"  # it runs
    monkeypatch.setattr(template_process, "SECONDS", 0.2)
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(TemplateFault, match=r"takes longer than 0\.2 s"):
        process.render(endless, {})
    monkeypatch.undo()
    assert process.render("{{ x }}", {"x": 2}) == "2"


def test_a_process_that_was_killed_is_started_again(process: TemplateProcess) -> None:
    assert process.render("{{ x }}", {"x": 1}) == "1"
    assert process._process is not None
    process._process.kill()
    process._process.wait()
    assert process.render("{{ x }}", {"x": 2}) == "2"


def test_a_forked_process_has_its_own(process: TemplateProcess) -> None:
    assert process.render("{{ x }}", {"x": 1}) == "1"
    child = os.fork()
    if child == 0:
        os._exit(process.render("{{ x }}", {"x": 7}) != "7")
    assert os.waitpid(child, 0)[1] == 0
    assert process.render("{{ x }}", {"x": 3}) == "3"


def test_texts_that_exceed_the_pipes_arrive_whole(process: TemplateProcess) -> None:
    text = "".join(f"{i} " for i in range(200_000))
    assert process.render("{{ x }}{{ x }}", {"x": text}) == 2 * text


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_environment_is_not_visible(process: TemplateProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    process.close()
    monkeypatch.setenv("SECRET", "planted")
    process.render("", {})
    assert process._process is not None
    with open(f"/proc/{process._process.pid}/environ", "rb") as file:
        assert b"planted" not in file.read()
