"""The page: one self-contained HTML file (no font, no script, no network), light or dark by the reader's setting."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources

from quickstudy.report.style import variables

LIGHT, DARK = 1, 2


def page(title: str, headline: str, rows: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Assemble the whole file.

    Args:
        title: text; the other parts are HTML already.
        headline: the top of the page.
        rows: rows of sections, each section a title for the table of contents and its HTML. Sections of a row are side by side if
            there is room; an empty section is left out.
    """
    css = resources.files("quickstudy.report").joinpath("page.css").read_text(encoding="utf-8")
    themes = (
        f":root {{ {variables(LIGHT)} --ground: #f4f6f9; --code: #f1f4f8; color-scheme: light dark; }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {variables(DARK)} --ground: #0f141b; --code: #10161f; }} }}\n"
    )
    links = "".join(f'<a href="#{_id(html)}">{escape(name)}</a>' for row in rows for name, html in row if html)
    body = ['<div class="row">' + "".join(html for _, html in row) + "</div>" for row in rows if any(html for _, html in row)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{themes}{css}</style>\n</head>\n<body>\n<main>\n{headline}\n"
        f'<nav aria-label="contents">{links}</nav>\n' + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def _id(html: str) -> str:
    return html.partition('id="')[2].partition('"')[0]
