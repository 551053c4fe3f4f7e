"""The commands on tiny checkpoints with random weights: what is printed, and how mistakes are reported."""

import ast
import errno
import inspect
import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from groundup import load
from groundup.checkpoint import load_checkpoint, save_checkpoint
from groundup.cli import main as cli
from groundup.cli.checkpoints import fitting_names
from groundup.cli.main import MODELS, app
from groundup.errors import BadInput
from groundup.generation import precision
from groundup.generation.decoding import generate
from groundup.generation.sampling import Sampling
from groundup.hub.names import MODELS as PUBLISHED
from groundup.interop.published import import_model
from groundup.nn.classifier import SequenceClassifier
from groundup.nn.config import PRESETS, ModelConfig
from groundup.nn.decoder import Decoder
from groundup.nn.encoder_decoder import EncoderDecoder
from groundup.nn.half_precision import HalfLinear, supported, to_half_linear
from groundup.nn.int8 import to_int8_linear
from groundup.tasks.classification import spam_probabilities
from groundup.tasks.translation import translate
from groundup.text.labels import LABELS
from groundup.text.printable import TEXT, printable
from groundup.tokenizers.bpe import BPETokenizer
from pipelines.params import load_params
from tests.interop.published_models import random_llama, save_published
from tests.tiny import randomised

SENTENCES = ["tea and cake and tea and milk", "the cat sat on the mat and the hat"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    tokenizer = BPETokenizer.train(SENTENCES, 270)
    sizes = {"context_length": 64, "n_layer": 1, "n_head": 2, "n_kv_head": 2, "n_embd": 16, "dropout": 0.0}
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        ngram_rows=0,
        ngram_embd=0,
        ngram_orders=(2,),
        **sizes,
        **PRESETS["gpt2"],
    )
    torch.manual_seed(0)
    save_checkpoint(folder / "pretrained", Decoder(config), tokenizer)
    save_checkpoint(folder / "instructions", Decoder(config), tokenizer, prompt_style="alpaca_short")
    classifier = SequenceClassifier(Decoder(config), 2, "last")
    torch.nn.init.normal_(classifier.score.weight)
    save_checkpoint(folder / "spam", classifier, tokenizer, labels=LABELS)
    translator = randomised(EncoderDecoder(replace(config, n_encoder_layer=1)), seed=0)
    save_checkpoint(folder / "translation", translator, tokenizer)
    return {name: folder / name for name in ("pretrained", "instructions", "spam", "translation")}


def run(*arguments: str, stdin: str | None = None) -> str:
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.mark.parametrize("weights", ["int8", "float16", "float32"])
def test_generate_prints_the_prompt_and_what_the_library_generates(
    folders: dict[str, Path], weights: str
) -> None:
    model = str(folders["pretrained"])
    options = (
        "--model",
        model,
        "--max-new-tokens",
        "12",
        "--temperature",
        "0.9",
        "--top-p",
        "0.8",
        "--seed",
        "3",
        "--weights",
        weights,
    )
    printed = run("generate", "tea and", *options)
    checkpoint = load_checkpoint(folders["pretrained"])
    if weights != "float32":
        {"float16": to_half_linear, "int8": to_int8_linear}[weights](checkpoint.model)
    tokenizer = checkpoint.tokenizer
    (new,) = generate(
        checkpoint.model,
        [tokenizer.encode("tea and")],
        max_new_tokens=12,
        sampling=Sampling(0.9, 0, 0.8, 3),
        stop_ids=[tokenizer.eot_id],
    )
    text = tokenizer.decode(new)
    assert printed == f"tea and{printable(text, TEXT)}\n"
    assert run("generate", "tea and", *options) == printed


def test_a_published_model_reads_its_beginning_before_the_prompt(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs, folder = random_llama(), tmp_path / "theirs"
    save_published(folder, theirs, begins=True)
    import_model(folder, tmp_path / "ours")
    options = ("--model", str(tmp_path / "ours"), "--max-new-tokens", "6", "--temperature", "0")
    read = transformers.AutoTokenizer.from_pretrained(folder)
    ids = read("low newer", return_tensors="pt").input_ids
    assert ids[0, 0] == read.bos_token_id
    new = theirs.generate(ids, max_new_tokens=6, do_sample=False, eos_token_id=read.eos_token_id)[
        0, ids.shape[1] :
    ]
    assert run("generate", "low newer", *options).startswith("low newer" + read.decode(new))
    checkpoint = load_checkpoint(tmp_path / "ours")
    messages = [{"role": "user", "content": "low"}]
    told = read.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert checkpoint.prompter().conversation(messages) == told and told.count(read.bos_token_id) == 2


def test_samples_differ_by_their_seed(folders: dict[str, Path]) -> None:
    options = ("--model", str(folders["pretrained"]), "--max-new-tokens", "12", "--temperature", "1.5")
    both = run("generate", "the", *options, "--samples", "2", "--seed", "7")
    assert both == run("generate", "the", *options, "--seed", "7") + run(
        "generate", "the", *options, "--seed", "8"
    )


def test_what_cannot_be_drawn_from_begins_no_text(folders: dict[str, Path]) -> None:
    command = ["generate", "the", "--model", str(folders["pretrained"]), "--temperature", "inf"]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, BadInput) and not result.stdout


def test_without_a_seed_every_text_differs(folders: dict[str, Path]) -> None:
    command = ["generate", "the", "--model", str(folders["pretrained"]), "--temperature", "1.5", "--verbose"]
    results = [CliRunner().invoke(app, command) for _ in range(2)]
    seeds = [result.stderr.removeprefix("seed ").strip() for result in results]
    assert results[0].stdout != results[1].stdout and seeds[0] != seeds[1]
    for result, seed in zip(results, seeds, strict=True):
        assert CliRunner().invoke(app, [*command, "--seed", seed]).stdout == result.stdout
    both = CliRunner().invoke(app, [*command, "--seed", "7", "--samples", "2"])
    assert both.stderr == "seed 7\nseed 8\n"


def test_small_models_are_asked_as_they_were_trained_and_by_one_thread(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        small = cli._language_model(folders["pretrained"], None)
        assert torch.get_num_threads() == 1
        torch.set_num_threads(2)
        monkeypatch.setattr(precision, "SMALL", 0)
        large = cli._language_model(folders["pretrained"], None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert not any(isinstance(layer, HalfLinear) for layer in small.model.modules())
    assert any(isinstance(layer, HalfLinear) for layer in large.model.modules()) == supported()


def test_commands_import_only_what_they_need() -> None:
    code = (
        "import sys, groundup.cli.main, groundup.cli.chat, groundup.generation.decoding; "
        "import groundup.tasks.classification, groundup.tasks.translation; "
        "from groundup.nn import half_precision; print(*{name.partition('.')[0] for name in sys.modules})"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = "sympy sklearn pandas scipy matplotlib mlflow transformers great_expectations requests gguf"
    assert not set(heavy.split()) & set(shown.stdout.split())


def test_classify_takes_arguments_or_lines(folders: dict[str, Path]) -> None:
    messages = ["free cake", "the cat sat on the mat"]
    given = run("classify", *messages, "--model", str(folders["spam"]))
    assert given == run("classify", "--model", str(folders["spam"]), stdin="\n".join(messages) + "\n")
    expected = spam_probabilities(load_checkpoint(folders["spam"]), messages)
    rows = [line.split("\t") for line in given.splitlines()]
    assert [row[2] for row in rows] == messages
    assert [float(row[1]) for row in rows] == pytest.approx(expected, abs=5e-4)
    assert [row[0] for row in rows] == ["spam" if p >= 0.5 else "ham" for p in expected]


def test_chat_answers_until_quit(folders: dict[str, Path]) -> None:
    dialogue = "Say it.\ntea\n\nRepeat.\n\n/quit\n"
    command = ["chat", "--model", str(folders["instructions"]), "--max-new-tokens", "4"]
    result = CliRunner().invoke(app, command, input=dialogue)
    assert result.exit_code == 0, (result.output, result.exception)
    # the blank line is no instruction; the second instruction has an empty input
    assert result.stderr.count("input (or Enter)> ") == 2
    assert result.stderr.count("instruction> ") == 4
    checkpoint = load_checkpoint(folders["instructions"])
    requests = [("Say it.", "tea"), ("Repeat.", "")]
    answers = generate(
        checkpoint.model,
        checkpoint.prompter().prompts(requests),
        max_new_tokens=4,
        sampling=Sampling(),
        stop_ids=[checkpoint.tokenizer.eot_id],
    )
    texts = [checkpoint.tokenizer.decode(ids) for ids in answers]
    assert result.stdout == "".join(f"{text}\n" for text in texts)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["generate", "hello", "--model", "nowhere"], "there is no model nowhere; expected"),
        (["generate", "hello", "--model", "{spam}"], "holds a classifier; expected a decoder"),
        (["generate", "", "--model", "{pretrained}"], "a prompt has no tokens"),
        (["generate", "tea " * 200, "--model", "{pretrained}"], "the model reads at most 64"),
        (
            ["classify", "hello", "--model", "{pretrained}"],
            "language model); expected a classifier",
        ),
    ],
)
def test_mistakes_are_one_sentence_and_a_failure(
    folders: dict[str, Path], arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["groundup", *(a.format(**folders) for a in arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = str(ended.value.code)
    assert said.startswith("error: ") and sentence in said and "\n" not in said


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        (b"fine\nna\xefve\n", "standard input, line 2: byte 0xef is not UTF-8"),
        (b" \n", "there is no message"),
    ],
)
def test_messages_that_are_no_text(folders: dict[str, Path], stdin: bytes, sentence: str) -> None:
    error = CliRunner().invoke(app, ["classify", "--model", str(folders["spam"])], input=stdin).exception
    assert isinstance(error, BadInput) and sentence in str(error)


def test_a_chat_that_is_no_text_ends_with_a_sentence_and_no_traceback(folders: dict[str, Path]) -> None:
    options = ["-X", "utf8", "-m", "groundup.cli.main", "chat", "--model", str(folders["instructions"])]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    result = subprocess.run(
        [sys.executable, *options], input=b"na\xefve\n", capture_output=True, check=False, env=environment
    )
    last = result.stderr.decode().strip().splitlines()[-1]
    assert result.returncode == 1 and last.startswith("error: ")
    assert (
        "standard input has the byte 0xef, which is not utf-8" in last and b"Traceback" not in result.stderr
    )


def test_translate_prints_what_the_library_translates(folders: dict[str, Path]) -> None:
    checkpoint = load_checkpoint(folders["translation"])
    texts = ["tea and milk", "the cat"]
    translated = translate(checkpoint, texts, beam_size=2, length_penalty=0.5)
    expected = printable("\n".join(translated), TEXT) + "\n"
    options = ("--model", str(folders["translation"]), "--beam-size", "2", "--length-penalty", "0.5")
    assert run("translate", *texts, *options) == expected
    assert run("translate", *options, stdin="tea and milk\n\nthe cat\n") == expected


def test_translate_searches_as_the_study_does() -> None:
    study = load_params("study", Path(__file__).parents[2]).evaluate_translation
    defaults = {name: one.default for name, one in inspect.signature(cli.translate).parameters.items()}
    assert defaults["beam_size"] == study.beam_size
    assert defaults["length_penalty"] == study.length_penalty


def test_translate_wants_a_translator_and_a_sentence(folders: dict[str, Path]) -> None:
    result = CliRunner().invoke(app, ["translate", "tea", "--model", str(folders["pretrained"])])
    assert isinstance(result.exception, BadInput)
    assert "encoder-decoder" in str(result.exception)
    result = CliRunner().invoke(app, ["translate", "--model", str(folders["translation"])], input="\n")
    assert isinstance(result.exception, BadInput)
    assert "no sentence" in str(result.exception)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder as working folder."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_doctor_says_which_pipeline_trains_what_is_missing(project: Path) -> None:
    printed = run("doctor")
    assert "torch" in printed and printed.count("not usable") == 4
    [translation] = [
        line for line in printed.splitlines() if line.startswith("data/study/models/translation")
    ]
    assert "`make study`" in translation and "`dvc pull data/study/models/translation`" in translation
    assert printed.count("`make repro`") == 3 and "dvc repro" not in printed


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["translate", "tea"], "make study"),
        (["classify", "tea"], "make repro"),
        (["generate", "tea"], "make repro"),
        (["chat"], "make repro"),
        (["chat", "--model", "data/transfer/models/lora"], "make transfer"),
        (["export", "data/models/spam", "out"], "make repro"),
    ],
)
def test_the_advice_is_the_command_that_trains_the_model(
    project: Path, arguments: list[str], command: str
) -> None:
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, BadInput) and f"train it with `{command}`" in str(error)


def test_outside_the_project_the_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (["classify", "tea"], ["generate", "tea"], ["chat"], ["translate", "tea"]):
        error = CliRunner().invoke(app, arguments).exception
        assert isinstance(error, BadInput) and "make" not in str(error)
        assert str(tmp_path / "data") in str(error) and "--model" in str(error)
    assert f"{tmp_path} is not the project's folder" in run("doctor")


def test_examples_are_those_of_the_project_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, elsewhere = tmp_path / "one" / cli.INSTRUCTIONS, tmp_path / "two"
    rows.parent.mkdir(parents=True)
    rows.touch()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert cli._instructions(tmp_path / "one/data/models/instructions") == rows
    assert cli._instructions(Path("data/models/instructions")) == cli.INSTRUCTIONS
    monkeypatch.chdir(tmp_path / "one")
    assert cli._instructions(Path("data/models/instructions")) == rows


def test_a_published_model_on_a_hub_continues_a_text_and_is_kept(tmp_path: Path) -> None:
    """The first call downloads and imports it; the second, without a network, has the same answer."""
    from tests.hub.fake_hub import fake_hub
    from tests.interop.published_models import random_llama, save_published

    save_published(tmp_path / "model", random_llama())
    arguments = ["generate", "low", "--model", "hf:some/model@v1", "--seed", "1", "--max-new-tokens", "4"]
    own = {
        "HF_HOME": str(tmp_path / "hf"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "NO_PROXY": "127.0.0.1",
    }
    environment = {**os.environ, **own, "PYTHONPATH": str(Path(cli.__file__).parents[2])}

    def generate(**variables: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "groundup.cli.main", *arguments]
        return subprocess.run(command, env=environment | variables, capture_output=True, text=True)

    with fake_hub(tmp_path / "model") as hub:
        first = generate(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    second = generate(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout == second.stdout != ""
    assert "hf:some/model@v1: 0." in first.stderr and "MB, kept in" in first.stderr and not second.stderr


def test_a_downloaded_folder_is_imported_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.interop.published_models import random_llama, save_published

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_published(tmp_path / "llama", random_llama())
    run("generate", "low", "--model", str(tmp_path / "llama"), "--max-new-tokens", "1")
    listed = CliRunner().invoke(app, ["models", "--cache"])
    [line] = listed.stdout.splitlines()
    name = line.split("\t")[0]
    assert listed.stderr.startswith("1 imported model in ")
    assert name.startswith("llama-")
    assert "removed" in run("models", "--remove", name) and run("models", "--cache") == ""


def test_help_offers_models_that_can_do_it(folders: dict[str, Path]) -> None:
    for command, offered, kind in (
        ("generate", True, "decoder"),
        ("classify", False, "classifier"),
        ("translate", False, "translation"),
    ):
        said = " ".join(run(command, "--help").split())
        assert ("smollm2-135m" in said.partition("--model")[2]) == offered
        with pytest.raises(BadInput) as refused:
            CliRunner().invoke(app, [command, "tea", "--model", "nowhere"], catch_exceptions=False)
        assert ("smollm2-135m" in str(refused.value)) == offered and (offered or kind in str(refused.value))
        if not offered:
            with pytest.raises(BadInput, match="smollm2-135m is a language model; expected the checkpoint"):
                CliRunner().invoke(app, [command, "tea", "--model", "smollm2-135m"], catch_exceptions=False)


def test_completion_offers_models_that_can_do_it(project: Path) -> None:
    for name, kind in (("spam", "classifier"), ("pretrained", "decoder")):
        (MODELS / name).mkdir(parents=True)
        (MODELS / name / "config.json").write_text(f'{{"kind": "{kind}"}}')
    assert fitting_names("", "classifier") == ["data/models/spam"]
    assert fitting_names("", "decoder") == ["data/models/pretrained", *PUBLISHED]
    assert fitting_names("") == ["data/models/pretrained", "data/models/spam", *PUBLISHED]


def test_a_place_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "talk.jsonl")

    monkeypatch.setattr("groundup.cli.main.app", full)
    with pytest.raises(SystemExit, match=r"^error: talk\.jsonl cannot be read or written \(No space left"):
        cli.main()


def test_help_lists_the_commands() -> None:
    printed = run("--help")
    assert all(name in printed for name in ("generate", "chat", "classify", "doctor"))


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version") == f"groundup {version('groundup')}\n"


COMPLETE = """
eval "$(groundup --show-completion bash)"
for line in "$@"; do
  COMP_WORDS=($line) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  if [[ $line == *" " ]]; then COMP_CWORD=${#COMP_WORDS[@]}; fi
  COMPREPLY=()
  _groundup_completion groundup
  echo "${COMPREPLY[*]}"
done
"""


def test_bash_completes_commands_and_trained_models_and_leaves_other_paths_to_itself(project: Path) -> None:
    for name in ("spam", "pretrained"):
        (MODELS / name).mkdir(parents=True)
        (MODELS / name / "config.json").touch()
    (MODELS / "half_made").mkdir()
    command = project / "bin" / "groundup"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nfrom groundup.cli.main import main\nmain()\n")
    command.chmod(0o755)
    source = str(Path(cli.__file__).parents[2])
    path = f"{command.parent}:{os.environ['PATH']}"
    # names the shell, which would otherwise be found among the parent processes
    environment = {"PATH": path, "PYTHONPATH": source, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    lines = [
        "groundup tran",
        "groundup chat --model ",
        "groundup export data/models/s",
        "groundup chat --model /",
    ]
    lines += ["groundup import ", "groundup export data/models/spam "]
    told = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", *lines],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    models = "data/models/pretrained data/models/spam"
    published = " ".join(PUBLISHED)
    assert told.stdout.splitlines() == [
        "translate", f"{models} {published}", "data/models/spam", "", published, ""
    ]  # fmt: skip


def test_score_prints_what_the_library_measures(folders: dict[str, Path], tmp_path: Path) -> None:
    texts = {"one.txt": "tea and cake", "long.txt": "the cat — and the hat\n" * 9}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = [str(tmp_path / name) for name in texts]
    model = load(folders["pretrained"], device="cpu")
    found = model.log_likelihood(["", ""], [*texts.values()])
    rows = [
        row.split("\t") for row in run("score", *files, "--model", str(folders["pretrained"])).splitlines()
    ]
    assert [row[1:] for row in rows] == [
        [str(len(one.tokens)), str(len(text.encode())), file]
        for one, text, file in zip(found, texts.values(), files, strict=True)
    ]
    assert [float(row[0]) for row in rows] == pytest.approx([one.bits_per_byte for one in found], abs=1e-4)
    printed = run("score", "--tokens", "--model", str(folders["pretrained"]), stdin=texts["long.txt"])
    shown = [row.split("\t") for row in printed.splitlines()]
    expected = [token.logprob for token in found[1].tokens]
    assert [float(row[0]) for row in shown] == pytest.approx(expected, abs=1e-4)
    assert [ast.literal_eval(row[1]) for row in shown] == model.checkpoint.tokenizer.pieces(texts["long.txt"])
    for more, sentence in (([], "standard input is empty"), (["nowhere"], "nowhere cannot be read")):
        error = CliRunner().invoke(app, ["score", "--model", str(folders["pretrained"]), *more]).exception
        assert isinstance(error, BadInput) and sentence in str(error)


@torch.no_grad()
def test_escape_sequences_are_shown_and_not_executed(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In prompts, answers of a model whose most likely token is always ESC, messages, file names and errors."""
    found = load_checkpoint(folders["pretrained"])
    [escape] = found.tokenizer.encode("\x1b")
    found.model.ln_f.weight.zero_()
    found.model.ln_f.bias.copy_(100 * found.model.wte.weight[escape])
    found.model.wte.weight[escape] *= 10
    save_checkpoint(tmp_path / "model", found.model, found.tokenizer, prompt_style="alpaca_short")
    chosen, red = ("--model", str(tmp_path / "model"), "--temperature", "0"), "\x1b[31m"
    options = (*chosen, "--max-new-tokens", "2")
    assert run("generate", f"{red}tea\u00a0\t", *options) == "\\x1b[31mtea\u00a0\t\\x1b\\x1b\n"
    assert run("chat", *options, stdin="tea\n\n") == "\\x1b\\x1b\n"
    assert "\\x1b[31m" in run("classify", red, "--model", str(folders["spam"]))
    (tmp_path / red).write_text("tea")
    assert run("score", str(tmp_path / red), *chosen[:2]).endswith("\\x1b[31m\n")
    monkeypatch.setattr(sys, "argv", ["groundup", "score", f"nowhere{red}"])
    with pytest.raises(SystemExit, match=r"^error: nowhere\\x1b\[31m cannot be read"):
        cli.main()
