"""Pages of HTML: what a room shows, filled into its template."""

from typing import Any

import jinja2


def rendered(room: str, template: str, **values: Any) -> str:
    """`revoice/{room}/templates/{template}` with values, which are escaped.

    Raises jinja2.UndefinedError where one is missing.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(f"revoice.{room}"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)
