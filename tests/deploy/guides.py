"""The guides in docs/guides, and those of the app registrations: what they link to is there (as it is of the other pages), the
gateway takes each file that they show, the files of a tenant lose nothing that register.sh wrote, which is the one of deploy/examples where they say so; code is that of an example that the tests compile; a block of commands can be pasted as a whole; and the codes of
troubleshooting.md are those of docs/errors.md, which a test compares with the code (UPDATE=1 writes them anew)."""

import os
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs/guides"
REGISTRATION = [ROOT / "docs/entra-setup.md", ROOT / "deploy/entra/README.md"]
OTHERS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "crates").glob("*/README.md")]
# As register.sh writes it.
REGISTERED = "# written by register.sh\nAZURE_CLIENT_SECRET='of the ~API'\nDEMO_UI_CLIENT_SECRET='of.the-UI'\n"


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
    for link, block in re.findall(r"\((\.\./\.\./deploy/examples/\w+\.toml)\)(?:(?!```).)*```toml\n(.*?)```", text, re.S):
        shown = [line for line in block.splitlines() if line]
        whole = [line for line in (GUIDES / link).read_text().splitlines() if line and not line.startswith("#")]
        if shown != [line for line in whole if line not in ("[admin]", 'listen = "127.0.0.1:9090"')]:
            yield f"{name}: its file is not {link}"


def anchors(text):
    """As GitHub makes them of headings."""
    for heading in re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M):
        yield re.sub(r"[^\w\- ]", "", re.sub(r"\]\(.*?\)", "", heading).lower()).strip().replace(" ", "-")


def of_links(name, text, folder):
    for link, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?[^)]*\)", text):
        if "://" in link:
            continue
        there = text if not link else None
        if link and not (folder / link).exists():
            yield f"{name}: there is no {link}"
        elif link.endswith(".md"):
            there = (folder / link).read_text()
        if anchor and there is not None and anchor not in anchors(there):
            yield f"{name}: {link or 'this page'} has no heading {anchor}"


def of_tenant(name, text):
    """What makes the files of compose.tenant.yaml is run: an .env that is there stays, and its secrets come into their files."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.S):
        if "deploy/env.example" not in block:
            continue
        for env in (None, REGISTERED):
            with tempfile.TemporaryDirectory() as folder:
                deploy = pathlib.Path(folder) / "deploy"
                deploy.mkdir()
                example = (ROOT / "deploy/env.example").read_text()
                (deploy / "env.example").write_text(example)
                if env:
                    (deploy / ".env").write_text(env)
                # Who owns the files afterwards, and the engine, are not of this machine.
                lines = [line for line in block.splitlines() if not line.startswith(("sudo ", "docker "))]
                done = subprocess.run(["sh", "-euc", "\n".join(lines)], cwd=folder, capture_output=True, text=True)
                if done.returncode:
                    yield f"{name}: {done.stderr}"
                elif (deploy / ".env").read_text() != (env or example):
                    yield f"{name}: deploy/.env is overwritten"
                elif env:
                    for file, secret in (("api-secret", "of the ~API"), ("ui-secret", "of.the-UI")):
                        path = deploy / "secrets" / file
                        if not path.is_file() or path.read_text() != secret or path.stat().st_mode & 0o077:
                            yield f"{name}: deploy/secrets/{file} is not the secret that register.sh wrote, for its owner alone"


# What reads from the terminal, and so swallows what was pasted with it; what never ends where a program did not start; and what
# ends programs of the reader's own.
READS = re.compile(r"^\s*(sudoedit|read)\b|\bsystemd-ask-password\b|Ctrl-D")
ENDLESS = re.compile(r"^\s*(until|while)\b")


def of_pasting(name, text):
    """A block of commands can be pasted as a whole."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.S):
        lines = [line for line in block.splitlines() if line.strip()]
        yield from (f"{name}: what is pasted below it is swallowed by {line}" for line in lines[:-1] if READS.search(line))
        yield from (f"{name}: a loop without an end (timeout 60 sh -c '…'): {line}" for line in lines if ENDLESS.search(line))
        if "jobs -p" in block:
            yield f"{name}: kill ends each program by its own id, and not what else the reader's shell has started"


def of(name, text, folder=GUIDES):
    yield from of_copies(name, text)
    yield from of_pasting(name, text)
    yield from of_links(name, text, folder)
    yield from of_tenant(name, text)
    for path in re.findall(r"\bdeploy/[\w./-]*\w", text):
        # What the reader makes.
        if not path.startswith(("deploy/.env", "deploy/secrets")) and not (ROOT / path).exists():
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
    found = [problem for path in paths for problem in of(path.name, path.read_text(), path.parent)]
    for path in OTHERS:
        if path not in paths:
            found += of_links(path.name, path.read_text(), path.parent)
            found += of_pasting(path.name, path.read_text())
    return found


def not_found():
    cases = [
        ("<!-- codes -->\n- AADSTS50013: nothing\n<!-- /codes -->", "its codes are not those"),
        ("```rust\n// crates/tower-obo/examples/axum.rs\n    let app = 1;\n```", "this code is not that of crates/"),
        ("```rust\nlet app = 1;\n```", "this code is not that of let app"),
        ('[x](../../deploy/examples/mcp.toml)\n```toml\nlisten = "127.0.0.1:8080"\n```', "its file is not"),
        ('[x](../../deploy/examples/mcp.toml), `x`:\n```toml\nlisten = "127.0.0.1:8080"\n```', "its file is not"),
        ("[x](nowhere.md)", "there is no nowhere.md"),
        ("[x](kubernetes.md#nowhere)", "kubernetes.md has no heading nowhere"),
        ("# Here\n[x](#nowhere)", "this page has no heading nowhere"),
        ("```sh\ncp deploy/env.example deploy/.env\n```", "deploy/.env is overwritten"),
        ("```sh\n[ -e deploy/.env ] || cp deploy/env.example deploy/.env\n```", "deploy/secrets/api-secret is not the secret"),
        ("see deploy/nowhere.yaml", "there is no deploy/nowhere.yaml"),
        ("```sh\nsudoedit /etc/x\nls\n```", "is swallowed by sudoedit"),
        ("```sh\nsudo install /dev/stdin x    # then Ctrl-D\nls\n```", "is swallowed by sudo install"),
        ("```sh\nuntil obo-gateway health; do sleep 1; done\n```", "a loop without an end"),
        ("```sh\nkill $(jobs -p)\n```", "kill ends each"),
        ('```toml\nupsteam = "http://127.0.0.1:3000"\n```', "obo-gateway check"),
    ]
    return [f"a guide with {case!r}" for case, said in cases if not any(said in found for found in of("broken", case))]
