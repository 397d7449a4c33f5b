//! `[oidc]` in place of `[entra]`.

use tower_obo::GrantType;

use super::*;

const OIDC: &str = "upstream = 'http://127.0.0.1:3000'\n[oidc]\nissuer = 'https://id.example/realms/shop'\n\
     client_id = 'shop-api'\ncredential = { secret_file = '/nowhere' }\n";
const REST: &str = "[accept]\nroles = ['customer']\n[downstream.orders]\ngrant = 'token_exchange'\n\
     audience = 'orders-api'\n[[route]]\npath = '/a'\ndownstream = 'orders'\n";

fn load(text: &str) -> Result<Config, Problems> {
    Sources::new().file("gw.toml", text).load()
}

fn problem(text: &str, expected: &str) {
    let problems = load(text).unwrap_err();
    let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(
        said.iter().any(|problem| problem.contains(expected)),
        "{expected}: {said:#?}"
    );
}

#[test]
fn another_provider_is_named_by_its_issuer_and_has_grants_of_its_own() {
    let more = "roles_claim = 'realm_access.roles'\nsecret_in_header = true\n";
    let rest = REST.replace(
        "audience = 'orders-api'",
        "audience = ['a', 'b']\nscope = 's'",
    );
    let rest = rest.replace("[[route]]\n", "[[route]]\nclients = ['shop-ui']\n");
    let rest = rest.replace("scope = 's'", "scope = 's'\nresource = 'https://a'");
    let config = load(&format!("{OIDC}{more}{rest}")).unwrap();
    let other = config.entra.other.as_ref().unwrap();
    assert_eq!(other.issuer, "https://id.example/realms/shop");
    assert_eq!(other.roles_claim.as_deref(), Some("realm_access.roles"));
    assert!(other.secret_in_header);
    assert_eq!(config.entra.client_id, "shop-api");
    assert_eq!(config.routes[0].clients, ["shop-ui"]);
    let orders = config.downstreams["orders"].for_library("orders");
    let expected = tower_obo::Downstream::token_exchange("orders")
        .audience("b")
        .audience("a")
        .resource("https://a")
        .scope("s");
    assert_eq!(orders, expected);
    assert_eq!(orders.grant(), GrantType::TokenExchange);
    let own = format!("{OIDC}{REST}[downstream.own]\ngrant = 'client_credentials'\nscope = 'x'\n");
    assert!(load(&own).is_ok(), "scopes are the provider's");
}

#[test]
fn what_is_entra_ids_does_not_go_with_another_provider() {
    for (text, expected) in [
        (
            format!("{OIDC}[entra]\ntenant = '{TENANT}'\n{REST}"),
            "gw.toml:7: entra.tenant: it is Entra ID's",
        ),
        (
            format!(
                "{OIDC}{}",
                REST.replace("[accept]", "[accept]\nany_tenant = true")
            ),
            "accept.any_tenant: tenants are Entra ID's",
        ),
        (
            format!("{OIDC}[accept]\nroles = ['r']\n"),
            "route: missing: with [oidc] the routes say which downstream they have",
        ),
        (
            format!("{OIDC}[accept]\nroles = ['r']\n[[route]]\npath = '/a'\ndownstream = 'arm'"),
            "gw.toml:8: route.downstream: On-Behalf-Of is Entra ID's",
        ),
        (
            format!(
                "{OIDC}{}",
                REST.replace(
                    "grant = 'token_exchange'\naudience = 'orders-api'",
                    "scope = 's'"
                )
            ),
            "gw.toml:8: downstream.orders: On-Behalf-Of is Entra ID's",
        ),
        (
            format!("{OIDC}{}", REST.replace("audience = 'orders-api'\n", "")),
            "gw.toml:8: downstream.orders: it does not say what its tokens are for",
        ),
        (
            OIDC.replace("issuer = 'https://id.example/realms/shop'\n", "") + REST,
            "gw.toml:2: oidc.issuer: missing",
        ),
        (
            OIDC.replace("https://id", "http://id") + REST,
            "gw.toml:3: oidc.issuer: an issuer must be https",
        ),
        (
            OIDC.replace("https://id.example/realms/shop", "") + REST,
            "give the issuer as `iss` of its tokens has it",
        ),
        (
            OIDC.replace("client_id = 'shop-api'\n", "") + REST,
            "oidc.client_id: missing",
        ),
        (
            format!("{OIDC}roles_claim = 'a.b.c'\n{REST}"),
            "gw.toml:6: oidc.roles_claim: \"a.b.c\" is neither",
        ),
        (
            format!("{OIDC}tenant = 'x'\n{REST}"),
            "gw.toml:6: oidc.tenant: unknown key",
        ),
    ] {
        problem(&text, expected);
    }
    assert_only(
        "[downstream.x]\ngrant = 'token_exchange'\naudience = 'a'",
        "gw.toml:1: downstream.x: Entra ID has no token exchange",
    );
    assert_only(
        "[downstream.x]\nscope = 's'\naudience = 'a'",
        "gw.toml:1: downstream.x: `audience` and `resource` are of",
    );
}

#[test]
fn what_means_nothing_to_another_provider_is_refused_wherever_it_is_given() {
    let entra = |setting: &str| format!("{OIDC}[entra]\n{setting}\n{REST}");
    for (setting, key) in [
        (
            "authority = 'https://login.microsoftonline.us'",
            "authority",
        ),
        (
            "answer_claims_challenges = true",
            "answer_claims_challenges",
        ),
        ("own_signing_keys = true", "own_signing_keys"),
    ] {
        problem(
            &entra(setting),
            &format!("gw.toml:7: entra.{key}: it is Entra ID's"),
        );
    }
    assert!(load(&entra("own_signing_keys = false")).is_ok());
    assert!(load(&entra("")).is_ok());

    let from = |variables: &[(&str, &str)], flags: &[(&str, &str)]| {
        let read = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mut sources = Sources::new().file("gw.toml", format!("{OIDC}{REST}"));
        for (flag, value) in flags {
            sources = sources.flag(flag, &[(*value).to_owned()]);
        }
        sources.environment(read).load()
    };
    let problems = from(
        &[("OBO_TENANT", TENANT), ("OBO_ANY_TENANT", "true")],
        &[
            ("--authority", "https://login.microsoftonline.us"),
            ("--own-signing-keys", "true"),
        ],
    );
    let ours = "it is Entra ID's, and with [oidc] the tokens are not; give one of the two tables";
    let tenants = "tenants are Entra ID's; with [oidc] the issuer says whose users may call";
    assert_eq!(
        lines(problems),
        [
            format!("environment variable OBO_TENANT: entra.tenant: {ours}"),
            format!("flag --authority: entra.authority: {ours}"),
            format!("flag --own-signing-keys: entra.own_signing_keys: {ours}"),
            format!("environment variable OBO_ANY_TENANT: accept.any_tenant: {tenants}"),
        ]
    );
    let azures = [("AZURE_TENANT_ID", TENANT), ("AZURE_AUTHORITY_HOST", "x")];
    assert!(
        from(&azures, &[]).is_ok(),
        "it may be there for something else"
    );
}

#[test]
fn what_both_tables_may_have_stands_in_one_of_them() {
    let twice = format!("{OIDC}[entra]\nclient_id = 'another'\n{REST}");
    let problems = lines(load(&twice));
    let expected =
        "it stands under [entra] and under [oidc], where it is the same setting; once is enough";
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].ends_with(expected), "{problems:#?}");
    assert!(problems[0].starts_with("gw.toml:"), "{problems:#?}");
    let split = OIDC.replace("client_id = 'shop-api'\n", "") + "[entra]\nclient_id = 'shop-api'\n";
    assert_eq!(load(&(split + REST)).unwrap().entra.client_id, "shop-api");
}

#[test]
fn what_goes_with_another_provider_is_refused_without_one() {
    for (variable, value, key) in [
        ("OBO_OIDC_ROLES_CLAIM", "roles", "roles_claim"),
        ("OBO_OIDC_SECRET_IN_HEADER", "true", "secret_in_header"),
    ] {
        let read = |name: &str| match name {
            name if name == variable => Some(value.to_owned()),
            other => environment(other),
        };
        let expected = format!(
            "environment variable {variable}: oidc.{key}: it goes with `oidc.issuer`, which is missing"
        );
        assert_eq!(lines(Sources::new().environment(read).load()), [expected]);
    }
    let without = OIDC.replace("issuer = 'https://id.example/realms/shop'\n", "");
    let with_claim = format!("{without}roles_claim = 'roles'\n{REST}");
    let said = lines(load(&with_claim));
    assert!(
        said.iter()
            .any(|line| line.contains("oidc.issuer: missing")),
        "{said:#?}"
    );
    assert!(
        !said.iter().any(|line| line.contains("roles_claim")),
        "{said:#?}"
    );
}

#[test]
fn arm_is_a_name_like_any_other_there() {
    let rest = REST.replace("downstream.orders", "downstream.arm");
    let rest = rest.replace("downstream = 'orders'", "downstream = 'arm'");
    let config = load(&format!("{OIDC}{rest}")).unwrap();
    let expected = tower_obo::Downstream::token_exchange("arm").audience("orders-api");
    assert_eq!(config.downstreams["arm"].for_library("arm"), expected);
}

#[test]
fn a_managed_identity_s_token_is_never_shown_to_another_provider() {
    let text = OIDC.replace("secret_file = '/nowhere'", "managed_identity = true") + REST;
    let expected =
        "gw.toml:5: oidc.credential.managed_identity: a managed identity's tokens are for Entra ID";
    problem(&text, expected);
}

#[test]
fn what_azures_variables_tell_of_is_never_shown_to_another_provider() {
    let azure = |name: &str| {
        let value = match name {
            "AZURE_CLIENT_ID" | "AZURE_TENANT_ID" => TENANT,
            "AZURE_CLIENT_SECRET" => "entra-secret",
            "AZURE_FEDERATED_TOKEN_FILE" | "AZURE_CLIENT_CERTIFICATE_PATH" => "/nowhere/token",
            "AZURE_AUTHORITY_HOST" => "https://login.microsoftonline.com",
            "IDENTITY_ENDPOINT" => "http://127.0.0.1:1/",
            "IDENTITY_HEADER" => "x",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let config = Sources::new()
        .file("gw.toml", format!("{OIDC}{REST}"))
        .environment(azure)
        .load()
        .unwrap();
    assert_eq!(config.entra.client_id, "shop-api");
    assert!(matches!(config.entra.credential, Credential::SecretFile(_)));

    let without = OIDC.replace("credential = { secret_file = '/nowhere' }\n", "");
    let problems = Sources::new()
        .file("gw.toml", format!("{without}{REST}"))
        .environment(azure)
        .load()
        .unwrap_err();
    let said = problems.to_string();
    assert!(said.contains("oidc.credential: missing"), "{said}");
    assert!(!said.contains("AZURE_"), "{said}");

    let by_variable = |name: &str| match name {
        "OBO_OIDC_ISSUER" => Some("https://id.example".to_owned()),
        _ => azure(name),
    };
    let problems = Sources::new()
        .file(
            "gw.toml",
            format!("upstream = 'http://127.0.0.1:3000'\n{REST}"),
        )
        .environment(by_variable)
        .load()
        .unwrap_err();
    assert!(problems.to_string().contains("oidc.client_id: missing"));
}
