"""Encode the pretraining corpus as token shards."""

from pathlib import Path

from groundup.parallel.cluster import ClusterConfig
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tracking import Run
from groundup.training.shards import SPLITS, write_shards


def main(run: Run, corpus: Path, tokenizer: Path, out: Path, *, cluster: ClusterConfig) -> None:
    """Encode train and val of `corpus`, and write the shards to the folder `out`."""
    meta = write_shards(corpus, BPETokenizer.load(tokenizer), out, cluster, progress=True)
    for split in SPLITS:
        counts = meta[split]
        bytes_per_token = counts["message_bytes"] / counts["tokens"]
        run.log({f"{split}/{name}": value for name, value in counts.items()})
        run.log({f"{split}/bytes_per_token": bytes_per_token})
    run.tag("tokenizer.fingerprint", meta["tokenizer"])
    run.artifact(out / "meta.json")
    run.pointer(out, "tokens")
