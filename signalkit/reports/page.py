"""Notebooks as HTML pages that ask the network for nothing: code folded, figures described."""

from __future__ import annotations

import re

from nbformat import NotebookNode

from signalkit import PACKAGE

TEMPLATES = PACKAGE / "templates"
_TABLE_PART = re.compile(r"<(thead|tbody)>.*?</\1>", re.DOTALL)
_HEADER = re.compile(r"<th((?: [^>]*)?)>")
_LINK = re.compile(r'href="(\d\d_\w+)\.ipynb"')


def to_html(notebook: NotebookNode, title: str) -> str:
    """An executed notebook as one self-contained page.

    Parameters
    ----------
    notebook : NotebookNode
        With outputs.
    title : str
        Title of the page.
    """
    from nbconvert import HTMLExporter  # noqa: PLC0415 - takes over 0.3 s

    exporter = HTMLExporter(
        template_name="page",
        extra_template_basedirs=[str(TEMPLATES)],
        embed_images=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    body, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    return _TABLE_PART.sub(_scoped, _LINK.sub(r'href="\1.html"', body))


def _scoped(part: re.Match[str]) -> str:
    """The head or body of a table; its header cells say whether they head columns or rows."""
    axis = "col" if part[1] == "thead" else "row"

    def headed(cell: re.Match[str]) -> str:
        group = "group" if f"{axis}span" in cell[0] else ""
        return f'<th scope="{axis}{group}"{cell[1]}>'

    return _HEADER.sub(headed, part[0])
