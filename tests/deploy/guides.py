"""The guides in docs/guides, and those of the app registrations: what they link to is there, the gateway takes each file
that they show, which is the one of deploy/examples where they say so; code is that of an example that the tests compile, and the codes of
troubleshooting.md are those of docs/errors.md, which a test compares with the code (UPDATE=1 writes them anew)."""

import os
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs/guides"
REGISTRATION = [ROOT / "docs/entra-setup.md", ROOT / "deploy/entra/README.md"]


def codes():
    """By what is to be done: the codes of docs/errors.md."""
    row = re.compile(r"^\| (AADSTS\d+) \| (.*?) \| (.*?) \| (.*?) \|", re.M)
    groups = {}
    for code, means, who, todo in row.findall((ROOT / "docs/errors.md").read_text()):
        groups.setdefault((who, todo), []).append((code, means))
    if sum(map(len, groups.values())) < 40:
        raise SystemExit("docs/errors.md has no table of codes any more")
    lines = []
    for (who, todo), every in sorted(groups.items()):
        lines.append(f"**{todo[0].upper()}{todo[1:]}** ({who}):\n")
        lines += [f"- {code}: {means}" for code, means in every]
        lines.append("")
    return "\n".join(lines)


MARKED = re.compile(r"(?<=<!-- codes -->\n)(.*?)(?=<!-- /codes -->)", re.S)


def update_if_asked():
    path = GUIDES / "troubleshooting.md"
    if os.environ.get("UPDATE"):
        path.write_text(MARKED.sub(lambda _: "\n" + codes(), path.read_text()))


def of_copies(name, text):
    for marked in MARKED.findall(text):
        if marked.strip() != codes().strip():
            yield f"{name}: its codes are not those of docs/errors.md: UPDATE=1 scripts/deploy-checks"
    for block in re.findall(r"```rust\n(.*?)```", text, re.S):
        head, code = block.split("\n", 1)
        path = ROOT / head.removeprefix("// ")
        if not path.is_file() or code not in path.read_text():
            yield f"{name}: this code is not that of {head.removeprefix('// ')}: {code.strip()}"
    # The file that is shown below a link to it, but for its head and the admin listener.
    for link, block in re.findall(r"\((\.\./\.\./deploy/examples/\w+\.toml)\)[^`]*```toml\n(.*?)```", text, re.S):
        shown = [line for line in block.splitlines() if line]
        whole = [line for line in (GUIDES / link).read_text().splitlines() if line and not line.startswith("#")]
        if shown != [line for line in whole if line not in ("[admin]", 'listen = "127.0.0.1:9090"')]:
            yield f"{name}: its file is not {link}"


def of(name, text, folder=GUIDES):
    yield from of_copies(name, text)
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in link and not (folder / link).exists():
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
    paths = [*sorted(GUIDES.glob("*.md")), *REGISTRATION]
    return [problem for path in paths for problem in of(path.name, path.read_text(), path.parent)]


def not_found():
    cases = [
        ("<!-- codes -->\n- AADSTS50013: nothing\n<!-- /codes -->", "its codes are not those"),
        ("```rust\n// crates/tower-obo/examples/axum.rs\n    let app = 1;\n```", "this code is not that of crates/"),
        ("```rust\nlet app = 1;\n```", "this code is not that of let app"),
        ('[x](../../deploy/examples/mcp.toml)\n```toml\nlisten = "127.0.0.1:8080"\n```', "its file is not"),
        ("[x](nowhere.md)", "there is no nowhere.md"),
        ("see deploy/nowhere.yaml", "there is no deploy/nowhere.yaml"),
        ('```toml\nupsteam = "http://127.0.0.1:3000"\n```', "obo-gateway check"),
    ]
    return [f"a guide with {case!r}" for case, said in cases if not any(said in found for found in of("broken", case))]
