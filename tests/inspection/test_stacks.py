import json
from dataclasses import asdict

from groundup.inspection.stacks import Part, Stack, read_stacks

EMBEDDING = Part("wte", "token embedding", "11 × 16", (1, 5, 16), 176, 0)
MLP = Part("h.0.mlp", "feed-forward", "16 → 64 → 16", (1, 5, 16), 2048, 4096)
HEAD = Part("lm_head", "output head", "16 → 11", (1, 5, 11), 0, 352)
STACK = Stack("decoder", (EMBEDDING,), (MLP,), 3, True, True, (HEAD,))


def test_every_block_is_counted():
    assert [(part, times) for part, times in STACK.parts()] == [(EMBEDDING, 1), (MLP, 3), (HEAD, 1)]
    assert STACK.parameters == 176 + 3 * 2048
    assert STACK.flops == 3 * 4096 + 352


def test_stacks_are_restored_from_json():
    assert read_stacks(json.loads(json.dumps([asdict(STACK)]))) == [STACK]
