from __future__ import annotations

import json

from click.testing import CliRunner

from proxy.cli.schema import command
from rules.spec import json_schema


def test_the_command_prints_the_schema_as_json_in_its_order() -> None:
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert printed == json_schema()
    assert list(printed["properties"]) == list(json_schema()["properties"])
    assert next(iter(printed)) == "$schema"
