"""Render a self-contained HTML page from a template of this package.

A page has its styles and plots inside, and loads nothing. Values are escaped by the template
engine, and the page's policy forbids scripts, so markup in an output does not run.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from muniment.command import pluralize


def render(template: str, **values: Any) -> str:
    """Return the page of a template, such as `controllability.html`, with these values."""
    return _environment().get_template(template).render(**values)


def trusted(svg: str) -> Markup:
    """Return a plot that this package drew as markup that is not escaped."""
    return Markup(svg)


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with significant digits, or a dash."""
    return "–" if value is None else f"{value:.{digits}g}"


def percent(value: float | None) -> str:
    """Return a share as a percentage with one digit after the point, or a dash."""
    return "–" if value is None else f"{100 * value:.1f} %"


def with_code(text: str) -> Markup:
    """Return a text, escaped, with the parts between backquotes as code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup().join(
        Markup("<code>{}</code>").format(part) if position % 2 else part
        for position, part in enumerate(parts)
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("muniment_analysis.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, percent=percent, with_code=with_code, counted=pluralize
    )
    return environment
