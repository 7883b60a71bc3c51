"""The notebook beside this file, run from top to bottom without a browser."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(Path(__file__).with_name("tensors.ipynb"), as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
texts = ["".join(output.get("text", "")) for cell in notebook.cells for output in cell.get("outputs", ())]
assert "singular values" in texts[-1], texts
print(texts[-1].strip())
