"""register.sh and cleanup.sh by the real Azure CLI against the emulator, and the demo on what they made."""

import atexit
import contextlib
import json
import os
import pathlib
import shlex
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from browser import Browser

BINARIES, TOOLS = map(pathlib.Path, sys.argv[1:])
ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(tempfile.mkdtemp())
TENANT = "c0a70500-0000-4000-8000-000000000001"
ADMINISTRATOR, SECRET = "ad1a0000-0000-4000-8000-00000000000c", "emulator-administrator-secret"
ALICE, BOB = "a11ce000-0000-4000-8000-000000000011", "b0b00000-0000-4000-8000-000000000012"
CA, ENV = FOLDER / "ca.pem", FOLDER / ".env"
PATIENCE = 60
STARTED = []


@atexit.register
def end():
    for program in reversed(STARTED):
        program.terminate()
    for program in STARTED:
        program.wait()
    subprocess.run(["rm", "-rf", "--", FOLDER], check=True)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


ENTRA, ARM, ENTRA_TLS, ARM_TLS, GATEWAY, ADMIN, BACKEND, UI = (free_port() for _ in range(8))
LOGIN, GRAPH = f"https://localhost:{ENTRA_TLS}", f"https://localhost:{ARM_TLS}"
UI_URL = f"http://localhost:{UI}"
PATH = f"{TOOLS}:{os.environ['PATH']}"


def start(name, *arguments, **variables):
    log = (FOLDER / f"{name}.log").open("ab")
    program = subprocess.Popen(
        [BINARIES / name, *arguments], env={"PATH": PATH, "SSL_CERT_FILE": str(CA)} | variables,
        stdout=log, stderr=log, cwd=FOLDER,
    )  # fmt: skip
    STARTED.append(program)
    return program


def until(what, condition):
    ended = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > ended:
            logs = [f"{log.name}: {log.read_text()[-1500:]}" for log in FOLDER.glob("*.log")]
            raise SystemExit(f"{what}: not within {PATIENCE} s\n" + "\n".join(logs))
        time.sleep(0.1)


def answers(url, status=200):
    try:
        context = ssl.create_default_context(cafile=CA) if url.startswith("https") else None
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        with opener.open(url, timeout=5) as answer:
            return answer.status == status
    except urllib.error.HTTPError as error:
        return error.code == status
    except OSError:
        return False


AZURE = {
    "PATH": PATH,
    "HOME": str(FOLDER),
    "AZURE_CONFIG_DIR": str(FOLDER / "azure"),
    "AZURE_CORE_COLLECT_TELEMETRY": "false",
    "AZURE_CORE_INSTANCE_DISCOVERY": "false",
    "REQUESTS_CA_BUNDLE": str(CA),
    "NO_PROXY": "localhost,127.0.0.1",
    "REGISTER_PAUSE": "0",
}


def run(*command, expected=0, **variables):
    """What it said, on both streams."""
    done = subprocess.run(command, env=AZURE | variables, capture_output=True, text=True, cwd=FOLDER, check=False)
    said = done.stdout + done.stderr
    if done.returncode != expected:
        raise SystemExit(f"{shlex.join(map(str, command))} ended with {done.returncode}, not {expected}:\n{said}")
    for secret in secrets():
        assert secret not in said, f"{command[0]} shows a secret"
    return said


def secrets():
    with contextlib.suppress(FileNotFoundError):
        for line in ENV.read_text().splitlines():
            # That of a run which ended half way is empty.
            if "_SECRET=" in line and not line.endswith("=''"):
                yield line.partition("=")[2].strip("'")


def register(*options, **more):
    return run(ROOT / "deploy/entra/register.sh", "--env", ENV, "--ui-url", UI_URL, *options, **more)


def cleanup(*options, **more):
    return run(ROOT / "deploy/entra/cleanup.sh", "--env", ENV, *options, **more)


def az(*arguments, **more):
    return run("az", *arguments, "--output", "json", "--only-show-errors", **more)


def log_in(secret=SECRET, client=ADMINISTRATOR, **more):
    return az(
        "login", "--service-principal", "--username", client, "--password", secret,
        "--tenant", TENANT, "--allow-no-subscriptions", **more,
    )  # fmt: skip


def graph():
    """Microsoft Graph without Azure CLI: METHOD, PATH and a body, to what it says."""
    form = {
        "grant_type": "client_credentials", "client_id": ADMINISTRATOR, "client_secret": SECRET,
        "scope": f"{GRAPH}/.default",
    }  # fmt: skip
    context = ssl.create_default_context(cafile=CA)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    token_url = f"{LOGIN}/{TENANT}/oauth2/v2.0/token"
    token = json.load(opener.open(token_url, urllib.parse.urlencode(form).encode()))["access_token"]

    def call(method, path, body=None):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with opener.open(urllib.request.Request(f"{GRAPH}/v1.0/{path}", data, headers, method=method)) as answer:
            return json.loads(answer.read() or "null")

    return call


def listing():
    """All that Graph knows, to be compared."""
    call = graph()
    all_of = {name: call("GET", name)["value"] for name in ("applications", "servicePrincipals", "oauth2PermissionGrants")}
    for app in all_of["applications"]:
        app["federated"] = call("GET", f"applications/{app['id']}/federatedIdentityCredentials")["value"]
    return all_of


def az_that(name, *cases):
    """The PATH of an Azure CLI that answers otherwise where its arguments are so."""
    folder = FOLDER / name
    folder.mkdir()
    text = "".join(f"{pattern}) {commands} ;;\n" for pattern, commands in cases)
    (folder / "az").write_text(f'#!/bin/sh\ncase "$*" in\n{text}esac\nexec {TOOLS}/az "$@"\n')
    (folder / "az").chmod(0o755)
    return f"{folder}:{PATH}"


def unchanged(before):
    """That nothing is there that was not, and nothing gone."""
    now = listing()
    for name, objects in before.items():
        new = [one for one in now[name] if one not in objects]
        gone = [one for one in objects if one not in now[name]]
        assert not new and not gone, f"{name}: new {json.dumps(new)}, gone {json.dumps(gone)}"


def app(name):
    (found,) = [one for one in listing()["applications"] if one["displayName"] == name]
    return found


def settings():
    lines = [line for line in ENV.read_text().splitlines() if not line.startswith("#")]
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


def ok(what):
    print(f"ok      {what}", flush=True)


def the_emulator_runs():
    start(
        "entra-emulator", "--administrator", f"--listen=127.0.0.1:{ENTRA}", f"--arm-listen=127.0.0.1:{ARM}",
        f"--https-listen=127.0.0.1:{ENTRA_TLS}", f"--arm-https-listen=127.0.0.1:{ARM_TLS}",
        f"--https-public-url={LOGIN}", f"--arm-https-public-url={GRAPH}", f"--ca-file={CA}",
    )  # fmt: skip
    until("the emulator answers", lambda: CA.exists() and answers(f"{LOGIN}/common/v2.0/.well-known/openid-configuration"))
    az(
        "cloud", "register", "--name", "Emulator", "--skip-endpoint-discovery",
        "--endpoint-active-directory", LOGIN,
        "--endpoint-active-directory-resource-id", "https://management.azure.com/",
        "--endpoint-active-directory-graph-resource-id", GRAPH,
        "--endpoint-microsoft-graph-resource-id", f"{GRAPH}/",
        "--endpoint-resource-manager", f"{GRAPH}/",
        "--endpoint-management", f"{GRAPH}/",
        "--endpoint-gallery", f"{GRAPH}/",
    )  # fmt: skip
    az("cloud", "set", "--name", "Emulator")


def what_is_wrong_is_said():
    bare = FOLDER / "bare"
    bare.mkdir()
    for tool in ("bash", "dirname", "cat"):
        (bare / tool).symlink_to(f"/usr/bin/{tool}")
    assert "az) is not installed" in register(expected=1, PATH=str(bare))
    assert "nobody is signed in" in register(expected=1)
    assert "7000215" in log_in("wrong", expected=1)
    assert "nobody is signed in" in cleanup(expected=1)
    log_in("emulator-api-secret", "a9100000-0000-4000-8000-00000000000a")
    said = register(expected=1)
    assert "can't be read" in said and "Insufficient privileges" in said, said
    for options, said in [
        (["--nothing"], "no option --nothing"),
        (["--api-name"], "--api-name needs a value"),
        (["--api-name", "it's"], "no quotes"),
        (["--api-name", "x", "--ui-name", "x"], "names of their own"),
        (["--ui-url", "http://ui.example"], "https://"),
        (["--credential", "password"], "secret, certificate or federated"),
        (["--credential", "certificate"], "--certificate"),
        (["--credential", "federated", "--issuer", "https://issuer.example"], "--subject"),
        (["--env", "/no/such/folder/.env"], "can't be written"),
        (["--env", FOLDER], "can't be written"),
    ]:
        found = register(*options, expected=64)
        assert said in found, found
    quoted = FOLDER / "it's.pem"
    the_certificate(quoted)
    assert "no quotes" in register("--credential", "certificate", "--certificate", quoted, expected=64)
    ok("no az, nobody signed in, a wrong secret, no right to, and wrong options: each is said")
    script = f"""
        . {ROOT}/deploy/entra/common.sh
        tried=0
        later() {{ tried=$((tried + 1)); [ $tried -ge 3 ] || {{ echo "Resource 'x' does not exist" >&2; return 1; }}; }}
        patiently later && echo "tried $tried times"
        never() {{ tried=$((tried + 1)); echo "Insufficient privileges" >&2; return 1; }}
        tried=0
        trap 'echo "then $tried times"' EXIT
        patiently never
    """
    said = run("bash", "-c", script, expected=1)
    assert "tried 3 times" in said and "then 1 times" in said and "Insufficient" in said, said
    ok("what was made a moment ago is waited for, and nothing else is")


def the_demo_starts():
    """By the settings that were written, and the addresses of this machine."""
    values = settings()
    start("demo-backend", f"--listen=127.0.0.1:{BACKEND}", **values)
    start(
        "obo-gateway", f"--listen=127.0.0.1:{GATEWAY}", f"--upstream=http://127.0.0.1:{BACKEND}",
        f"--admin-listen=127.0.0.1:{ADMIN}", **values, OBO_ENTRA_CA_FILE=str(CA),
    )  # fmt: skip
    start(
        "demo-ui", **values, DEMO_UI_LISTEN=f"127.0.0.1:{UI}", DEMO_UI_API_URL=f"http://127.0.0.1:{GATEWAY}/subscriptions",
    )  # fmt: skip
    until("the gateway is ready", lambda: answers(f"http://127.0.0.1:{ADMIN}/readyz"))
    until("the web app answers", lambda: answers(f"{UI_URL}/"))


def sign_in(user, consents):
    browser = Browser(CA)
    page = browser.press(browser.get(f"{UI_URL}/account/login"), "as", user)
    if consents:
        # One page for the web app's use of the API and the API's use of Azure.
        for scope in ("openid", "access_as_user", "user_impersonation"):
            assert f'data-scope="{scope}"' in page[1], page[1]
        page = browser.press(page, "decision", "accept")
    assert page[0].startswith(f"{UI_URL}/account/callback?code="), page
    return browser.get(f"{UI_URL}/")


def the_certificate(key):
    """With its private key, in one file."""
    run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=api", "-days", "30",
        "-keyout", key, "-out", FOLDER / "public.pem",
    )  # fmt: skip
    key.write_text(key.read_text() + (FOLDER / "public.pem").read_text())


def without_azure_service_management(before):
    """A tenant has it only once somebody needed it; what was just made is not found everywhere yet."""
    of_asm = "797f4846-ba00-4fd7-ba43-dac1f8f63013"
    missing = az_that(
        "missing", (f'*"ad sp list"*{of_asm}*', "exit 0"),
        (f'*"ad sp show"*{of_asm}*', "echo \"Resource '797f' does not exist\" >&2; exit 3"),
    )  # fmt: skip
    said = register("--dry-run", PATH=missing)
    assert f"az ad sp create --id {of_asm}" in said, said
    assert f"permission add --id \\<API\\> --api {of_asm}" in said, said
    unchanged(before)
    for name, answer, expected in [
        ("forbidden", "echo Forbidden >&2; exit 1", "Forbidden"),
        ("scopeless", "exit 0", "exposes no scope user_impersonation"),
    ]:
        said = register(expected=1, PATH=az_that(name, (f'*"ad sp show"*{of_asm}*', answer)))
        assert expected in said and "Done" not in said, said
    # What a run made that ended half way is known to be its own.
    cleanup()
    unchanged(before)
    assert not ENV.exists()
    ok("a scope that can't be read ends the run, and cleanup.sh takes away what was made until then")


def a_refused_consent_loses_nothing():
    (FOLDER / ".env.new").symlink_to(FOLDER / "elsewhere")
    refused = az_that("refused", ("*oauth2PermissionGrants*", "echo Forbidden >&2; exit 1"))
    said = register("--admin-consent", expected=1, PATH=refused)
    print(said)
    assert "Forbidden" in said, said
    assert settings()["AZURE_CLIENT_SECRET"] and settings()["DEMO_UI_CLIENT_SECRET"]
    assert "Nothing was changed" in register()
    assert not (FOLDER / "elsewhere").exists()
    (FOLDER / ".env.new").unlink()
    ok("a consent that is refused comes last: registrations and secrets are there")


def what_is_of_others_stays():
    call, written = graph(), ENV.read_text()
    payroll = call("POST", "applications", {"displayName": "payroll"})
    before = listing()
    other, hand_made = FOLDER / "other.env", FOLDER / "hand.env"
    other.write_text(written.replace(TENANT, "c0a70500-0000-4000-8000-0000000000ff"))
    hand_made.write_text(f"AZURE_TENANT_ID={TENANT}\n")
    for options, why in [
        (["--env", hand_made], "was not written by register.sh"),
        (["--env", other], "settings of another tenant"),
        (["--api-name", "other-api", "--ui-name", "other-ui"], "settings of another application"),
    ]:
        said = register(*options, expected=64)
        assert why in said, said
    assert "of another tenant" in cleanup("--env", other, expected=64)
    for options, why in [
        (["--api-name", "payroll", "--ui-name", "none"], "register.sh did not make it"),
        (["--api-name", "payroll", "--ui-name", "none", "--by-name"], "register.sh did not make it"),
        (["--api-name", "none", "--ui-name", "none"], "is still there"),
        (["--env", FOLDER / "none.env"], "does not say that it was made there"),
        (["--env", hand_made], "does not say that it was made there"),
    ]:
        said = cleanup(*options, expected=1)
        assert why in said and "removed:" not in said, said
    unchanged(before)
    assert ENV.read_text() == written and hand_made.exists() and other.exists()
    call("DELETE", f"applications/{payroll['id']}")
    ok("applications and settings of others are neither written over nor removed")


def another_cluster_and_another_audience(federated):
    green = [*federated, "--issuer", "https://oidc.example/green"]
    page = "https://ui.example/a;b"
    register(*green, "--ui-url", page)
    register(*green, "--ui-url", page, "--audience", "api://other")
    assert "Nothing was changed" in register(*green, "--ui-url", page, "--audience", "api://other")
    found = {one["issuer"]: one["audiences"] for one in app("tower-obo-api")["federated"]}
    assert found == {
        "https://oidc.example/cluster": ["api://AzureADTokenExchange"], "https://oidc.example/green": ["api://other"],
    }, found  # fmt: skip
    ok("the same subject of a second cluster, and another audience for it")
    assert run("bash", "-c", f'. "{ENV}" && printf %s "$DEMO_UI_PUBLIC_URL"') == page
    ok("a shell reads the settings as they are")


def who_found_it_does_not_remove_it():
    second = FOLDER / "second.env"
    said = register("--env", second, "--new-secret")
    assert said.count("it was there before") == 2, said
    before = listing()
    register("--env", second)
    said = cleanup("--env", second, expected=1)
    assert said.count("does not say that it was made there") == 2 and "removed:" not in said, said
    unchanged(before)
    assert second.exists() and ENV.exists()
    ok("who registers what another made brings it up to date, and cleanup.sh leaves it to the other")


def main():
    the_emulator_runs()
    what_is_wrong_is_said()
    log_in()
    before = listing()

    call = graph()
    twins = [call("POST", "applications", {"displayName": "tower-obo-api"})["id"] for _ in range(2)]
    assert "several applications are called 'tower-obo-api'" in register(expected=1)
    assert "several applications" in cleanup(expected=1)
    for twin in twins:
        call("DELETE", f"applications/{twin}")
    unchanged(before)
    ok("two applications of one name are an error, and neither is touched")

    said = register("--dry-run")
    unchanged(before)
    assert not ENV.exists(), said
    assert "az ad app create --display-name tower-obo-api" in said and "nothing was changed" in said, said
    ok("a dry run says each command, and changes nothing")

    without_azure_service_management(before)
    a_refused_consent_loses_nothing()
    assert stat.S_IMODE(ENV.stat().st_mode) == 0o600
    api, ui = app("tower-obo-api"), app("tower-obo-ui")
    assert api["identifierUris"] == [f"api://{api['appId']}"] and api["api"]["requestedAccessTokenVersion"] == 2
    assert api["api"]["knownClientApplications"] == [ui["appId"]]
    assert [scope["value"] for scope in api["api"]["oauth2PermissionScopes"]] == ["access_as_user"]
    assert [one["resourceAppId"] for one in api["requiredResourceAccess"]] == ["797f4846-ba00-4fd7-ba43-dac1f8f63013"]
    assert ui["web"]["redirectUris"] == [f"{UI_URL}/account/callback", f"{UI_URL}/"]
    assert [len(one["resourceAccess"]) for one in ui["requiredResourceAccess"]] == [1, 3]
    ok("both registrations are as they should be; .env is its owner's alone")

    the_demo_starts()
    _, text = sign_in(ALICE, consents=True)
    assert "Alice Production" in text and "Alice Sandbox" in text, text
    ok("Alice signs in, consents once to all of it, and sees her subscriptions")

    first = listing()
    written = ENV.read_bytes(), ENV.stat().st_mtime_ns
    said = register()
    assert "Nothing was changed" in said, said
    unchanged(first)
    assert written == (ENV.read_bytes(), ENV.stat().st_mtime_ns)
    ok("a second run changes nothing, and says so")

    aside = ENV.rename(FOLDER / "aside")
    assert "--new-secret" in register(expected=1)
    aside.rename(ENV)
    unchanged(first)
    ok("a secret that nobody has any more is said, with what to do")

    register("--admin-consent")
    assert "Nothing was changed" in register("--admin-consent")
    assert len(listing()["oauth2PermissionGrants"]) == len(first["oauth2PermissionGrants"]) + 3
    _, text = sign_in(BOB, consents=False)
    assert "Bob Data Platform" in text, text
    ok("with the administrator's consent Bob is asked nothing, and sees his")

    what_is_of_others_stays()

    key = FOLDER / "api.pem"
    the_certificate(key)
    secret = settings()["AZURE_CLIENT_SECRET"]
    certificate = ["--credential", "certificate", "--certificate", key]
    register(*certificate)
    assert "Nothing was changed" in register(*certificate)
    assert "AZURE_CLIENT_SECRET" not in settings() and len(app("tower-obo-api")["keyCredentials"]) == 1
    said = subprocess.run(
        [BINARIES / "obo-gateway", "check", "--online"], cwd=FOLDER, capture_output=True, text=True,
        env=settings() | {"OBO_ENTRA_CA_FILE": str(CA), "OBO_UPSTREAM": f"http://127.0.0.1:{BACKEND}"}, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
    ok("with a certificate the gateway proves itself, by its own check")

    federated = [
        "--credential", "federated", "--issuer", "https://oidc.example/cluster",
        "--subject", "system:serviceaccount:shop:api",
    ]  # fmt: skip
    register(*federated)
    assert "Nothing was changed" in register(*federated)
    (credential,) = app("tower-obo-api")["federated"]
    assert credential["subject"] == "system:serviceaccount:shop:api" and credential["audiences"] == ["api://AzureADTokenExchange"]
    ok("a federated credential of a service account, once")

    another_cluster_and_another_audience(federated)
    register()
    assert settings()["AZURE_CLIENT_SECRET"] == secret and "Nothing was changed" in register()
    ok("the client secret is there again after a certificate and a federated credential")
    who_found_it_does_not_remove_it()

    made = listing()
    said = cleanup("--dry-run")
    unchanged(made)
    assert ENV.exists() and "az ad app delete" in said, said
    cleanup()
    unchanged(before)
    assert not ENV.exists() and not list(FOLDER.glob(".env*"))
    assert "there was nothing of it" in cleanup()
    ok("nothing is left of it after cleanup.sh, and everything else is as it was")


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"All of it in {time.monotonic() - started:.0f} s.")
