"""Verifiable instruction tasks, generated from a closed vocabulary: a program can check every answer.

generate(2, seed=1)[0] -> {"id": "first_word-00000", "family": "first_word",
                           "instruction": "Say the first word.", "input": "tea, red, cow", "output": "tea"}
check("first_word", "Say the first word.", "tea, red, cow", " tea. ") -> True
"""

from random import Random

from groundup.errors import BadInput
from groundup.text.overlap import normalise
from groundup.verifiable import grammar, kinds, lists, numbers, rewriting, sentences
from groundup.verifiable.family import Family

FAMILIES: dict[str, Family] = {
    family.name: family
    for module in (lists, sentences, kinds, grammar, numbers, rewriting)
    for family in module.FAMILIES
}
_PATIENCE = 200  # a family counts as exhausted after this many draws without a new prompt


def generate(instances_per_family: int, seed: int) -> list[dict[str, str]]:
    """Generate `instances_per_family` tasks of every family, in the order of FAMILIES.

    The same arguments give the same rows. A larger number extends each family's rows without changing the first
    ones. All prompts (instruction and input) differ after `normalise`.

    Raises:
        BadInput: the number is not positive, or a family has fewer distinct prompts.
    """
    if instances_per_family < 1:
        raise BadInput(f"instances_per_family is {instances_per_family}; expected at least 1: raise it.")
    rows = []
    for family in FAMILIES.values():
        rng = Random(f"{seed}:{family.name}")
        seen: set[str] = set()  # no two families share an instruction, so one set per family is enough
        found = idle = 0
        while found < instances_per_family:
            task = family.make(rng)
            instruction = rng.choice(family.templates).format(**task.slots)
            key = normalise(f"{instruction}\n{task.input}")
            if key in seen:
                idle += 1
                if idle > _PATIENCE:
                    raise BadInput(
                        f"the family {family.name} has about {found} distinct prompts; expected at least "
                        f"{instances_per_family}, which is instances_per_family: lower it."
                    )
                continue
            idle = 0
            seen.add(key)
            rows.append(
                {
                    "id": f"{family.name}-{found:05d}",
                    "family": family.name,
                    "instruction": instruction,
                    "input": task.input,
                    "output": task.output,
                }
            )
            found += 1
    return rows


def check(family: str, instruction: str, input: str, response: str) -> bool:
    """Return whether `response` is the right answer to a verifiable task.

    The right answer is computed from the prompt alone. The comparison ignores only surrounding white space
    and one final full stop.

    Raises:
        BadInput: there is no such family.
        ValueError: the instruction matches none of the family's templates.
    """
    if family not in FAMILIES:
        raise BadInput(
            f"found the task family {family!r}; expected one of {', '.join(FAMILIES)}: correct the name."
        )
    return canonical(response) == canonical(FAMILIES[family].answer(instruction, input))


def canonical(answer: str) -> str:
    """Return an answer stripped of surrounding white space and of one final full stop."""
    return answer.strip().removesuffix(".").rstrip()
