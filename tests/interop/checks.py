"""Talks to run.py: a check's result goes out as a line of JSON, and the next check waits for an
answer, so that run.py knows whose the recorded requests are."""

import base64
import json
import os
import sys
import traceback

settings = json.loads(os.environ["INTEROP"])


def claims_of(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def expect(token, **expected):
    """The claims of a token are these."""
    claims = claims_of(token)
    found = {name: claims.get(name) for name in expected}
    assert found == expected, f"expected {expected}, found {found}"


def check(client, grant, credential):
    """Runs the function at once, as a named check."""

    def run(function):
        try:
            function()
            error = None
        except BaseException as problem:
            traceback.print_exc()
            error = f"{type(problem).__name__}: {problem}"
        result = {"client": client, "grant": grant, "credential": credential, "error": error}
        print(json.dumps(result), flush=True)
        sys.stdin.readline()
        return function

    return run
