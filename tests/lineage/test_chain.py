"""The phases of the stages of the three pipelines, from a table written by hand."""

from groundup.lineage.chain import PHASES, phase_of
from tests.architecture.stanzas import stanzas

EXPECTED = {
    "raw data": "download download_vocabulary download_preferences published_weights",
    "validation": "validate check_splits check_verses",
    "preparation": "prepare_corpus prepare_spam prepare_instructions prepare_verses prepare_preferences "
    "prepare_book_spam prepare_rehearsal",
    "tokenizer": "train_tokenizer tokenize train_vocabulary",
    "training": "pretrain pretrain_objective finetune_spam finetune_instructions finetune_lora dpo transfer "
    "train_classifiers train_embeddings train_translation random_weights gensim_embeddings",
    "evaluation": "evaluate evaluate_language report headline compare compare_embeddings compare_tokenizers contextual "
    "ladder evaluate_translation evaluate_starts explain_transformer ask_judge",
}


def test_every_stage_has_its_phase() -> None:
    assert list(EXPECTED) == list(PHASES)
    phases = {name: phase for phase, names in EXPECTED.items() for name in names.split()}
    for stanza in stanzas():
        name = stanza.stage.rpartition(".")[2]
        assert phase_of(stanza.name) == phases[name], stanza.name
