"""The Markdown report as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.report.plots import Picture

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ border: 1px solid #999; padding: 0.2rem 0.6rem; text-align: left; }}
img {{ max-width: 100%; }}
</style>
</head>
<body>
{body}</body>
</html>
"""


def html(markdown: str, pictures: Sequence[Picture] = ()) -> str:
    """
    Return a page.

    Args:
        markdown: A report, which links its pictures by their names.
        pictures: What is put into the page instead of the links.
    """
    # Without raw HTML: names of variants and commands come from elsewhere.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    shown = {picture.name: base64.b64encode(picture.png).decode() for picture in pictures}
    for token in tokens:
        for child in token.children or ():
            if child.type == "image" and (name := child.attrs["src"]) in shown:
                child.attrs["src"] = f"data:image/png;base64,{shown[str(name)]}"
    title = markdown.partition("\n")[0].lstrip("# ")
    body = parser.renderer.render(tokens, parser.options, {})
    return _PAGE.format(title=escape(title), body=body)
