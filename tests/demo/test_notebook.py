"""The story as a notebook: executed from the first cell to the last in a kernel of its own, beside its promises."""

import re
from pathlib import Path

import pytest

import jaxcam.demo

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
NOTEBOOK = Path(jaxcam.demo.__file__).parent / "story.ipynb"


def test_the_notebook_is_stored_without_outputs():
    book = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(book)
    assert NOTEBOOK.stat().st_size < 20_000
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in book.cells)


@pytest.mark.filterwarnings("default")  # of the kernel's machinery
def test_the_notebook_tells_the_story(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # its programs run for seconds only
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = nbformat.read(NOTEBOOK, 4)
    kernel = nbclient.NotebookClient(
        book, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    kernel.execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    said = "".join(one["text"] for one in outputs if one["output_type"] == "stream" and one["name"] == "stdout")
    shares = re.findall(r"(\w+): (\d+)% on validation, (\d+)% elsewhere", said)
    found = {name: (int(valid), int(elsewhere)) for name, valid, elsewhere in shares}
    assert found["leaky"] == pytest.approx((100, 0), abs=15)
    assert min(found["honest"]) >= 75
    kinds = [set(output.get("data", ())) for output in outputs]
    assert sum("image/png" in kind for kind in kinds) == 4  # the pictures, the predictions, two explanations
    pages = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", ())]
    verdict, table = pages
    assert "CONFIRMED" in verdict
    assert "<td" in verdict
    assert "story/runs/leaky" in table
    assert "CONFIRMED" in table
