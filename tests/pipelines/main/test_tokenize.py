import subprocess
import sys
from pathlib import Path

from groundup.parallel.cluster import HERE
from groundup.text.jsonl import write_jsonl
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tracking import silent
from groundup.training.shards import open_shard
from pipelines.main.tokenize import main

ROOT = Path(__file__).parents[3]


def test_writes_shards_with_the_tokenizer_given(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "corpus" / "train.jsonl", [{"id": "a", "messages": ["low low", "lower"]}])
    write_jsonl(tmp_path / "corpus" / "val.jsonl", [{"id": "b", "messages": ["slow"]}])
    tokenizer = BPETokenizer.train(["low low lower"], 259)
    tokenizer.save(tmp_path / "tokenizer.json")
    main(silent(), tmp_path / "corpus", tmp_path / "tokenizer.json", tmp_path / "tokens", cluster=HERE)
    assert open_shard(tmp_path / "tokens", "val", tokenizer=tokenizer).tolist() == [
        ord("s"),
        257,
        tokenizer.eot_id,
    ]


def test_the_module_does_not_hide_pythons_own_tokenize() -> None:
    code = "import tokenize, pipelines.main.tokenize, linecache; assert tokenize.generate_tokens, tokenize.__file__"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
