import subprocess
import sys
from pathlib import Path

import pytest

from groundup.files import write_json
from groundup.reports.starting_points import TITLES
from groundup.tracking import silent
from pipelines.transfer.report import main
from tests.pipelines import toy
from tests.reports.starting_point_figures import found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_json(tmp_path / "table.json", found())
    header = "step,val/margin,val/accuracy,val/kl\n"
    (tmp_path / "curve.csv").write_text(header + "1,,,\n2,0.5,0.75,0.01\n4,1.0,1.0,0.02\n")
    return tmp_path


def test_two_plots_one_page(folder: Path) -> None:
    main(silent(), *(folder / name for name in ("table.json", "curve.csv", "plots", "index.html")))
    assert {path.name for path in (folder / "plots").iterdir()} == {"starting_points.png", "preferences.png"}
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert all(title in page for title in TITLES.values())
    assert page.count("data:image/png;base64,") == 2


def test_drawing_needs_no_torch(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from groundup.tracking import silent\n"
        "from pipelines.transfer.report import main\n"
        "main(silent(), *map(Path, ('table.json', 'curve.csv', 'plots', 'index.html')))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=folder, env=toy.environment(), check=True)
