"""Small courses in temporary folders, for the tests of running and of pages."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib.paths import CourseTree
from course_lib.teach.build import code_sha, write_notebook

PARAMETERS = 'profile = "auto"\nseed = 0\nrate = 0.5\nfast = False\nphotos = ""'


def code(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


def parameters():
    return code(PARAMETERS, "parameters")


def lesson(tree, name, *cells):
    """Write a built lesson; strings become Markdown cells. Cell ids are the cells' positions."""
    made = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    for index, cell in enumerate(made):
        cell["id"] = f"cell-{index}"
    notebook = new_notebook(cells=made)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "", "language": "python"}
    notebook.metadata.course = {"lesson": name[:2], "source": code_sha(notebook)}
    path = tree.notebooks / f"{name}.ipynb"
    write_notebook(path, notebook)
    return path


def course(folder: Path) -> CourseTree:
    tree = CourseTree(folder)
    tree.notebooks.mkdir(parents=True)
    tree.assets.mkdir()
    return tree


def read(path):
    return nbformat.read(path, as_version=4)
