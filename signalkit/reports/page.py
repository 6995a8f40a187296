"""Notebooks as HTML pages that ask the network for nothing: code folded, figures described."""

from __future__ import annotations

from nbformat import NotebookNode

from signalkit import PACKAGE

TEMPLATES = PACKAGE / "templates"


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
    return body
