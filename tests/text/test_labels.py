import subprocess
import sys

import pytest

from groundup.text.labels import HAM, LABELS, SPAM, label_of


@pytest.mark.parametrize(("p", "label"), [(0.0, HAM), (0.499999, HAM), (0.5, SPAM), (1.0, SPAM)])
def test_half_is_spam(p: float, label: str) -> None:
    assert label_of(p) == label


def test_scores_are_in_the_order_of_the_labels() -> None:
    assert LABELS == (HAM, SPAM) == ("ham", "spam")


def test_labels_settings_and_the_command_line_come_without_torch() -> None:
    modules = "groundup.cli.main, pipelines.params, groundup.generation.sampling"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"
