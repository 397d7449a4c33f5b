"""Is the schema one, is the good file right by it, and is each broken one wrong for its own reason?

Usage: check.py SCHEMA GOOD..., where GOOD is a TOML file, or a page with such files in it.
"""

import json
import pathlib
import re
import sys
import tomllib

from jsonschema import Draft202012Validator

# Added to a good file: what is wrong, where, and by which word of the schema.
BROKEN = [
    ("an unknown key", "listne = '127.0.0.1:8080'", [], "additionalProperties"),
    ("text where a number belongs", "workers = 'two'", ["workers"], "type"),
    ("a word where a list belongs", "[accept]\nscopes = 'read'", ["accept", "scopes"], "type"),
    ("a route without a path", "[[route]]\naccess = 'public'", ["route", 0], "required"),
    ("an unknown table", "[colours]\nx = 1", [], "additionalProperties"),
    ("an unknown key of a route", "[[route]]\npath = '/'\nmethod = 'GET'", ["route", 0], "additionalProperties"),
    ("a negative limit", "[limits]\nrequests = -1", ["limits", "requests"], "minimum"),
]


def configurations(file: pathlib.Path) -> list[str]:
    text = file.read_text()
    if file.suffix == ".toml":
        return [text]
    blocks = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    found = [block for block in blocks if "[entra]" in block]
    assert found, f"{file} shows no configuration"
    return found


def main() -> int:
    schema_file, *files = map(pathlib.Path, sys.argv[1:])
    schema = json.loads(schema_file.read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    wrong = []
    good = [(file, text) for file in files for text in configurations(file)]
    for file, text in good:
        for error in validator.iter_errors(tomllib.loads(text)):
            wrong.append(f"{file}: {error.json_path}: {error.message}")
    for name, text, place, word in BROKEN:
        found = [(list(error.absolute_path), error.validator) for error in validator.iter_errors(tomllib.loads(text))]
        if (place, word) not in found:
            wrong.append(f"{name} is not found: {found}")
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"the schema is one; {len(good)} configurations are right by it, {len(BROKEN)} broken ones are not")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
