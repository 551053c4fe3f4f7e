from pathlib import Path

import pytest

from groundup.tokenizers.bpe import TokenizerConfig
from groundup.tracking import silent
from pipelines.main.download_vocabulary import main
from tests.datasets.gpt2_files import gpt2_catalogue
from tests.pipelines.main.test_train_tokenizer import BPE, GPT2


@pytest.mark.parametrize(("tokenizer", "files"), [(BPE, set()), (GPT2, {"vocab.bpe", "encoder.json"})])
def test_downloads_only_the_files_of_the_tokenizer(
    tokenizer: TokenizerConfig, files: set[str], tmp_path: Path
) -> None:
    main(silent(), gpt2_catalogue(tmp_path), tmp_path / "out", tmp_path / "kept", tokenizer=tokenizer)
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
