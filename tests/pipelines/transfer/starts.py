"""A tiny downloaded model, the outputs of the main pipeline that the stages read, and their values."""

from pathlib import Path
from typing import Any, Literal

from groundup.datasets.preferences import MistakesConfig, VerifiableConfig
from groundup.datasets.talks import RehearsalTextsConfig
from groundup.evaluation.config import EvaluateStartsConfig
from groundup.nn.config import LoRAConfig
from groundup.tracking import silent
from groundup.training.config import LoRATrainingConfig, PreferenceConfig, RehearsalConfig
from pipelines.transfer import dpo, finetune_lora, prepare_preferences, prepare_rehearsal, published_weights
from tests.interop.published_models import CHAT, random_gpt2, random_llama, save_bert, save_published
from tests.pipelines.prepared import INSTRUCTIONS, make_corpus, make_instructions
from tests.tiny import CPU, training_config

LORA = LoRAConfig(rank=2, alpha=4.0, dropout=0.0, targets=("c_attn", "c_fc"))
CHOSEN: dict[str, Any] = {"prompt_style": "chat_template", "lora": LORA, "max_examples": 8}
FINETUNE_LORA = LoRATrainingConfig(
    **{**vars(INSTRUCTIONS), **CHOSEN}, rehearsal=RehearsalConfig(weight=1.0, batch_size=2), adapter_scale=0.5
)
REHEARSAL = RehearsalTextsConfig(
    seed=1, talks=6, max_new_tokens=3, max_tasks=2, conversations=6, max_tokens=8, batch_size=4
)
PAIRS = VerifiableConfig(source="verifiable", seed=1, val_fraction=0.25, instructions=20)
MISTAKES = MistakesConfig(source="mistakes", seed=1, val_fraction=0.25, instructions=20, max_new_tokens=3)
DPO = PreferenceConfig(
    seed=1,
    beta=0.1,
    nll_weight=1.0,
    lora=LORA,
    max_examples=6,
    eval_examples=2,
    training=training_config(max_steps=4, eval_interval=2, checkpoint_interval=2),
)
SCORE = EvaluateStartsConfig(
    conversations=3, window=16, instances=2, max_new_tokens=3, question_tokens=2, batch_size=25, seed=1
)


def make_published(folder: Path, kind: Literal["llama", "gpt2", "bert"] = "llama") -> None:
    """Write the checkpoint of a downloaded model to folder/published, and the instructions; Llama is a chat model."""
    if kind == "bert":
        save_bert(folder / "hub")
    else:
        model = random_llama() if kind == "llama" else random_gpt2()
        save_published(folder / "hub", model, CHAT if kind == "llama" else None)
    paths = (Path("unused"), folder / "published", folder / "state/published_weights")
    published_weights.main(silent(), *paths, pretrained=str(folder / "hub"))
    make_instructions(folder / "instructions")


def make_lora(folder: Path, config: LoRATrainingConfig = FINETUNE_LORA) -> None:
    """Write texts to rehearse to folder/rehearsal, and adapters for that model to folder/lora."""
    make_corpus(folder)
    inputs = (folder / name for name in ("published", "corpus", "instructions", "rehearsal"))
    prepare_rehearsal.main(silent(), *inputs, rehearsal=REHEARSAL, compute=CPU)
    names = ("published", "instructions", "rehearsal", "lora", "lora.csv", "state/finetune_lora")
    paths = (folder / name for name in names)
    finetune_lora.main(silent(), *paths, finetune_lora=config, compute=CPU)


def make_dpo(folder: Path) -> None:
    """Write adapters for folder/lora to folder/dpo."""
    paths = [Path("unused"), folder / "instructions", folder / "lora", folder / "pairs"]
    prepare_preferences.main(silent(), *paths, preferences=PAIRS, compute=CPU)
    names = ("lora", "pairs", "dpo", "dpo.json", "dpo.csv", "state/dpo")
    paths = (folder / name for name in names)
    dpo.main(silent(), *paths, dpo=DPO, compute=CPU)
