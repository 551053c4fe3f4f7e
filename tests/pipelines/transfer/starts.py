"""A tiny published model, what the main pipeline would have made, and the values of the stages."""

from dataclasses import replace
from pathlib import Path

from groundup.datasets.preferences import PairsConfig
from groundup.evaluation.config import ScoreConfig
from groundup.nn.config import LoRAConfig
from groundup.tracking import silent
from groundup.training.config import PreferenceConfig
from pipelines.transfer import dpo, finetune_lora, prepare_preferences, published_weights
from tests.interop.published_models import random_llama, save_published
from tests.pipelines.prepared import INSTRUCTIONS, make_instructions
from tests.tiny import CPU, training_config

LORA = LoRAConfig(rank=2, alpha=4.0, dropout=0.0, targets=("c_attn", "c_fc"))
TEACH = replace(INSTRUCTIONS, prompt_style="chat_template", lora=LORA, max_examples=8)
PAIRS = PairsConfig(
    source="verifiable",
    dataset="",
    seed=1,
    val_fraction=0.25,
    instructions=20,
    max_new_tokens=3,
    max_dropped_share=1,
)
PREFERENCES = PreferenceConfig(
    seed=1,
    beta=0.1,
    nll_weight=1.0,
    lora=LORA,
    max_examples=6,
    eval_examples=2,
    training=training_config(max_steps=4, eval_interval=2, checkpoint_interval=2),
)
SCORE = ScoreConfig(conversations=3, window=16, instances=2, max_new_tokens=3, batch_size=2, seed=1)


def make_published(folder: Path) -> None:
    """The checkpoint of a published chat model, at folder/published, and the instructions."""
    save_published(folder / "hub", random_llama())
    published_weights.main(silent(), Path("unused"), folder / "published", pretrained=str(folder / "hub"))
    make_instructions(folder / "instructions")


def make_taught(folder: Path) -> None:
    """Adapters on it, at folder/taught."""
    paths = (folder / name for name in ("published", "instructions", "taught", "taught.csv", "state/teach"))
    finetune_lora.main(silent(), *paths, finetune_lora=TEACH, compute=CPU)


def make_preferred(folder: Path) -> None:
    """Adapters on these, at folder/preferred."""
    paths = [folder / "instructions", folder / "taught", Path("unused"), folder / "pairs"]
    prepare_preferences.main(silent(), *paths, preferences=PAIRS, compute=CPU)
    names = ("taught", "pairs", "preferred", "preferences.json", "preferred.csv", "state/preferences")
    paths = (folder / name for name in names)
    dpo.main(silent(), *paths, dpo=PREFERENCES, compute=CPU)
