from groundup.evaluation.headline import headline


def test_headline_metrics_are_means():
    match = {"exact_match": {"mean": 0.91234567}, "instances": 20}
    facts = {
        "pretrain": {"val": {"bpb": 1.7, "loss": 3.2}},
        "spam": {"test": {"f1": {"mean": 0.9, "low": 0.1, "high": 1}}},
        "instructions": {"unseen_instances": match, "held_out_families": match},
    }
    assert headline(**facts) == {"bpb": 1.7, "spam_f1": 0.9, "unseen": 0.9123, "held_out": 0.9123}
    facts["instructions"]["held_out_families"] = {"instances": 0}
    assert headline(**facts) == {"bpb": 1.7, "spam_f1": 0.9, "unseen": 0.9123}
