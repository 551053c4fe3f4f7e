"""Check the prepared splits; stop if an evaluation item occurs in training text or a required expectation fails.

The file `contamination`, on which pretraining depends, is written only if the check succeeds.
"""

from pathlib import Path

from groundup.corpora.preparing import SPLITS as CORPUS_SPLITS
from groundup.corpora.suspects import find_suspects
from groundup.datasets.instructions import SPLITS as INSTRUCTION_SPLITS
from groundup.datasets.instructions import InstructionsConfig
from groundup.datasets.spam import SPLITS as SPAM_SPLITS
from groundup.datasets.spam import BookSpamConfig, SpamConfig
from groundup.files import read_json, write_json
from groundup.parallel.cluster import ClusterConfig
from groundup.text.jsonl import read_splits
from groundup.tracking import Run
from groundup.validation.contamination import check, metrics, suite
from groundup.validation.results import add_suite, gate


def main(
    run: Run,
    corpus: Path,
    spam_dir: Path,
    instructions_dir: Path,
    results: Path,
    contamination: Path,
    *,
    spam: SpamConfig,
    instructions: InstructionsConfig,
    cluster: ClusterConfig,
) -> None:
    """Write the results, then `contamination`, or raise BadInput with the offending rows if the check fails."""
    from groundup.validation.expectations import validate_splits  # takes 5 s to import

    contamination.unlink(missing_ok=True)
    messages = read_splits(spam_dir, SPAM_SPLITS)
    tasks = read_splits(instructions_dir, INSTRUCTION_SPLITS)
    facts = read_json(corpus / "report.json")
    found = check(corpus, messages, tasks, results, cluster, corpus_digits_count=facts["digits_count"])
    suspects = find_suspects(corpus, CORPUS_SPLITS, cluster, keep_digits=facts["digits_count"])
    report = validate_splits(
        suspects.rows,
        messages,
        tasks,
        corpus_rows=suspects.sizes,
        corpus_digits_count=facts["digits_count"],
        spam_protocol=spam.protocol,
        spam_balance="undersample" if isinstance(spam, BookSpamConfig) else spam.balance,
        instructions_protocol=instructions.protocol,
    )
    leaky = {name for name, one in (("spam", spam), ("instructions", instructions)) if one.protocol == "book"}
    add_suite(report, suite(found, leaky, facts["cut_inside"]))
    write_json(results, report)
    run.artifact(results, "validation")
    run.log({f"contaminated/{name}": items["contaminated"] for name, items in found["sets"].items()})
    gate(report, results, "the splits do not meet these expectations; repair the data or the splitting")
    write_json(contamination, metrics(found))
    run.artifact(contamination, "validation")
    print(f"contaminated evaluation items: {found['contaminated']} (all canaries found)")
