"""The guides in docs/guides: what they link to is there, and the gateway takes each file that they show."""

import os
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs/guides"


def of(name, text):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in link and not (GUIDES / link).exists():
            yield f"{name}: there is no {link}"
    for path in re.findall(r"\bdeploy/[\w./-]*\w", text):
        # What the reader makes.
        if path not in ("deploy/.env", "deploy/secrets") and not (ROOT / path).exists():
            yield f"{name}: there is no {path}"
    for block in re.findall(r"```toml\n(.*?)```", text, re.S):
        with tempfile.TemporaryDirectory() as folder:
            secret = pathlib.Path(folder) / "client-secret"
            secret.write_text("a secret")
            file = pathlib.Path(folder) / "gateway.toml"
            file.write_text(block.replace("/run/secrets/client-secret", str(secret)))
            done = subprocess.run(
                [os.environ["GATEWAY"], "check", "--config", file],
                env={} if str(secret) in file.read_text() else {"OBO_CLIENT_SECRET_FILE": str(secret)},
                capture_output=True, text=True,
            )  # fmt: skip
        if done.returncode:
            yield f"{name}: obo-gateway check: {done.stderr}"


def problems():
    return [problem for path in sorted(GUIDES.glob("*.md")) for problem in of(path.name, path.read_text())]


def not_found():
    cases = ["[x](nowhere.md)", "see deploy/nowhere.yaml", '```toml\nupsteam = "http://127.0.0.1:3000"\n```']
    return [f"a guide with {case!r}" for case in cases if not list(of("broken", case))]
