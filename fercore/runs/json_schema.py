"""The JSON Schema of a run directory, derived from its records."""

from typing import Any

from pydantic import BaseModel

from fercore.config.run import CombinedConfig, ImportedConfig
from fercore.runs.schema import LIST_FILES, RUN_FILES


def run_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a run directory.

    It describes one object whose keys are the file names: `log.jsonl` as an array of its lines.
    """
    definitions: dict[str, Any] = {}
    properties: dict[str, Any] = {}

    def define(record: type[BaseModel]) -> dict[str, Any]:
        schema = record.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(schema.pop("$defs", {}))
        definitions[record.__name__] = schema
        return {"$ref": f"#/$defs/{record.__name__}"}

    for file, record in RUN_FILES.items():
        reference = define(record)
        properties[file] = (
            {"type": "array", "items": reference} if file in LIST_FILES else reference
        )
    kinds = [properties["config.json"], define(ImportedConfig), define(CombinedConfig)]
    properties["config.json"] = {"anyOf": kinds}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fercore run directory",
        "type": "object",
        "properties": properties,
        "required": ["config.json", "environment.json", "status.json"],
        "additionalProperties": False,
        "$defs": definitions,
    }
