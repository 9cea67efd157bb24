"""`pgjanus schema`: the JSON Schema of migration files, for editors."""

from __future__ import annotations

import click

from proxy.cli.common import print_json
from rules.spec import json_schema


@click.command(name="schema")
def command() -> None:
    """Print the JSON Schema of migration files.

    Save it beside your migrations, and editors that know YAML schemas complete and check them, e.g. with a first line
    `# yaml-language-server: $schema=pgjanus.schema.json`.
    """
    print_json(json_schema())
