"""register.sh and cleanup.sh by the real Azure CLI against the emulator, and the demo on what they made."""

import stat
import time

from demo import alice_sees_hers, sign_in, the_demo_starts, the_gateway_starts, the_gateways_own_check
from issuer import Issuer
from rig import (
    ALICE, ARM, ARM_TLS, BOB, CA, ENTRA, ENTRA_TLS, ENV, FOLDER, GRAPH, LOGIN, PATH, ROOT, TENANT, UI_URL,
    answers, app, az, az_that, cleanup, graph, listing, log_in, ok, register, run, settings, start, unchanged, until,
)  # fmt: skip


def the_emulator_runs(issuer):
    start(
        "entra-emulator", "--administrator", f"--listen=127.0.0.1:{ENTRA}", f"--arm-listen=127.0.0.1:{ARM}",
        f"--https-listen=127.0.0.1:{ENTRA_TLS}", f"--arm-https-listen=127.0.0.1:{ARM_TLS}",
        f"--https-public-url={LOGIN}", f"--arm-https-public-url={GRAPH}", f"--ca-file={CA}",
        SSL_CERT_FILE=str(issuer.certificate),
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


def a_certificate_proves_it():
    key = FOLDER / "api.pem"
    the_certificate(key)
    certificate = ["--credential", "certificate", "--certificate", key]
    register(*certificate)
    assert "Nothing was changed" in register(*certificate)
    assert "AZURE_CLIENT_SECRET" not in settings() and len(app("tower-obo-api")["keyCredentials"]) == 1
    the_gateways_own_check()
    the_gateway_starts()
    alice_sees_hers(ALICE)
    # One that is not registered.
    registered = key.read_text()
    the_certificate(key)
    assert "AADSTS700027" in the_gateways_own_check(expected=1)
    key.write_text(registered)
    ok("with a certificate alone the gateway shows Alice her subscriptions; with another one it does not")


def a_service_account_proves_it(issuer):
    subject = "system:serviceaccount:shop:api"
    federated = ["--credential", "federated", "--issuer", issuer.url, "--subject", subject]
    register(*federated)
    assert "Nothing was changed" in register(*federated)
    (credential,) = app("tower-obo-api")["federated"]
    assert credential["subject"] == subject and credential["audiences"] == ["api://AzureADTokenExchange"]
    assert not {"AZURE_CLIENT_SECRET", "OBO_CLIENT_CERTIFICATE"} & set(settings())
    ok("a federated credential of a service account, once")

    # Where the token is on this machine; register.sh leaves that as it is.
    token = FOLDER / "token"
    ENV.write_text(ENV.read_text().replace(settings()["OBO_FEDERATED_TOKEN_FILE"], str(token)))
    assert "Nothing was changed" in register(*federated) and settings()["OBO_FEDERATED_TOKEN_FILE"] == str(token)
    for said, other in [
        ("AADSTS700213", issuer.token("system:serviceaccount:shop:other")),
        ("AADSTS700212", issuer.token(subject, "https://kubernetes.default.svc")),
    ]:
        token.write_text(other)
        found = the_gateways_own_check(expected=1)
        assert said in found, found
    token.write_text(issuer.token(subject))
    the_gateways_own_check()
    the_gateway_starts()
    alice_sees_hers(ALICE)
    ok("by that service account's token alone the gateway shows Alice her subscriptions; by another's it does not")
    return federated


def another_cluster_and_another_audience(federated, issuer):
    green = [*federated, "--issuer", "https://oidc.example/green"]
    page = "https://ui.example/a;b"
    register(*green, "--ui-url", page)
    register(*green, "--ui-url", page, "--audience", "api://other")
    assert "Nothing was changed" in register(*green, "--ui-url", page, "--audience", "api://other")
    found = {one["issuer"]: one["audiences"] for one in app("tower-obo-api")["federated"]}
    assert found == {
        issuer.url: ["api://AzureADTokenExchange"], "https://oidc.example/green": ["api://other"],
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
    issuer = Issuer(FOLDER)
    the_emulator_runs(issuer)
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
    alice_sees_hers(ALICE, consents=True)
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
    _, text = sign_in(BOB)
    assert "Bob Data Platform" in text, text
    ok("with the administrator's consent Bob is asked nothing, and sees his")

    what_is_of_others_stays()

    secret = settings()["AZURE_CLIENT_SECRET"]
    a_certificate_proves_it()
    another_cluster_and_another_audience(a_service_account_proves_it(issuer), issuer)
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
