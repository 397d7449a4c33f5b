//! The forms of `entra.credential`, and what the environment tells of.

use super::*;

/// With nothing of a credential in the environment but these variables.
fn with(form: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    let text = match form {
        "" => String::new(),
        form => format!("[entra]\ncredential = {{ {form} }}"),
    };
    Sources::new()
        .file("gw.toml", text)
        .environment(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            let ours = || environment(name).filter(|_| name != "AZURE_CLIENT_SECRET");
            found.map(|(_, value)| (*value).to_owned()).or_else(ours)
        })
        .load()
}

fn described(form: &str, variables: &[(&str, &str)]) -> String {
    let config = with(form, variables).unwrap_or_else(|problems| panic!("{form}: {problems}"));
    config.entra.credential.describe()
}

#[test]
fn a_credential_has_one_of_five_forms() {
    for (form, expected) in [
        ("secret_file = '/s'", "client secret in /s"),
        ("certificate = '/c.pem'", "certificate in /c.pem"),
        (
            "certificate = '/c.pfx', password_file = '/p', send_x5c = true",
            "certificate in /c.pfx",
        ),
        ("federated_token_file = '/t'", "federated token in /t"),
        (
            "managed_identity = true",
            "managed identity of http://169.254.169.254",
        ),
        (
            "managed_identity = '11111111-2222-3333-4444-555555555555'",
            "managed identity 11111111-2222-3333-4444-555555555555 of http://169.254.169.254",
        ),
    ] {
        assert_eq!(described(form, &[]), expected, "{form}");
    }
    let secret = [("AZURE_CLIENT_SECRET", "x")];
    let expected = "client secret (AZURE_CLIENT_SECRET)";
    assert_eq!(described("", &secret), expected);
    let host = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:2")];
    let form = "managed_identity = true";
    assert_eq!(
        described(form, &host),
        "managed identity of http://127.0.0.1:2"
    );
}

#[test]
fn without_a_form_the_credential_is_the_environment_s() {
    let file = [("AZURE_FEDERATED_TOKEN_FILE", "/t")];
    assert_eq!(
        described("", &file),
        "federated token in /t (AZURE_FEDERATED_TOKEN_FILE)"
    );
    // Kubernetes sets that for every pod: it is no word against the file.
    assert_eq!(
        described("secret_file = '/s'", &file),
        "client secret in /s"
    );
    let both = [("AZURE_CLIENT_CERTIFICATE_PATH", "/c"), file[0]];
    assert_eq!(
        described("", &both),
        "certificate in /c (AZURE_CLIENT_CERTIFICATE_PATH)"
    );
    let selection = [("AZURE_TOKEN_CREDENTIALS", "dev")];
    for (variables, expected) in [(&[][..], "AZURE_CLIENT_SECRET=…"), (&selection[..], "prod")] {
        let problems = lines(with("", variables));
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].contains("entra.credential"), "{problems:#?}");
        assert!(problems[0].contains(expected), "{problems:#?}");
    }
}

#[test]
fn the_selection_counts_for_a_secret_of_the_environment_too() {
    let both = |selection| {
        [
            ("AZURE_CLIENT_SECRET", "x"),
            ("AZURE_FEDERATED_TOKEN_FILE", "/t"),
            ("AZURE_TOKEN_CREDENTIALS", selection),
        ]
    };
    for (selection, expected) in [
        (
            "WorkloadIdentityCredential",
            "federated token in /t (AZURE_FEDERATED_TOKEN_FILE)",
        ),
        (
            "ManagedIdentityCredential",
            "managed identity of http://169.254.169.254 (AZURE_TOKEN_CREDENTIALS)",
        ),
        (
            "EnvironmentCredential",
            "client secret (AZURE_CLIENT_SECRET)",
        ),
        (" ", "client secret (AZURE_CLIENT_SECRET)"),
    ] {
        assert_eq!(described("", &both(selection)), expected, "{selection}");
    }
    let problems = lines(with("", &both("AzureCliCredential")));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].contains("developers"), "{problems:#?}");
}

#[test]
fn azure_client_id_names_a_managed_identity_unless_it_is_the_api_s_own() {
    const OTHER: &str = "99999999-2222-3333-4444-555555555555";
    let selection = ("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential");
    let upper = CLIENT.to_uppercase();
    for (client_id, named) in [(OTHER, OTHER.to_owned() + " "), (&*upper, String::new())] {
        let variables = [
            selection,
            ("OBO_CLIENT_ID", CLIENT),
            ("AZURE_CLIENT_ID", client_id),
        ];
        let expected =
            format!("managed identity {named}of http://169.254.169.254 (AZURE_TOKEN_CREDENTIALS)");
        assert_eq!(described("", &variables), expected);
    }
}

#[test]
fn what_only_goes_with_a_certificate_leaves_that_of_an_earlier_layer() {
    let pfx = "certificate = '/c.pfx'";
    assert_eq!(
        described(pfx, &[("OBO_CLIENT_CERTIFICATE_PASSWORD_FILE", "/p")]),
        "certificate in /c.pfx"
    );
    // Another form replaces all of it.
    let form = "certificate = '/c.pfx', password_file = '/p'";
    assert_eq!(
        described(form, &[("OBO_FEDERATED_TOKEN_FILE", "/t")]),
        "federated token in /t (OBO_FEDERATED_TOKEN_FILE)"
    );
}

#[test]
fn azures_secret_takes_the_place_of_no_credential_that_is_given() {
    let azure = ("AZURE_CLIENT_SECRET", "of-another-sdk");
    assert_eq!(
        described("certificate = '/c.pem'", &[azure]),
        "certificate in /c.pem"
    );
    assert_eq!(
        described("secret_file = '/s'", &[azure]),
        "client secret in /s"
    );
    assert_eq!(
        described("", &[azure, ("OBO_FEDERATED_TOKEN_FILE", "/t")]),
        "federated token in /t (OBO_FEDERATED_TOKEN_FILE)"
    );
    // What is meant for the gateway does.
    assert_eq!(
        described("certificate = '/c.pem'", &[("OBO_CLIENT_SECRET", "ours")]),
        "client secret (OBO_CLIENT_SECRET)"
    );
}

#[test]
fn the_variable_that_told_of_a_credential_is_named() {
    for (variable, value, expected) in [
        ("OBO_CLIENT_SECRET", "s3cret", "client secret"),
        ("AZURE_CLIENT_SECRET", "s3cret", "client secret"),
        ("OBO_CLIENT_SECRET_FILE", "/s", "client secret in /s"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "/c", "certificate in /c"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/t", "federated token in /t"),
    ] {
        let expected = format!("{expected} ({variable})");
        assert_eq!(described("", &[(variable, value)]), expected);
    }
}

#[test]
fn wrong_credentials_are_said() {
    for (form, expected) in [
        (
            "secret_file = '/s', certificate = '/c'",
            "gw.toml:2: entra.credential: `secret_file` and `certificate` are given side by side",
        ),
        (
            "certificate = ''",
            "gw.toml:2: entra.credential.certificate: it is empty",
        ),
        (
            "secret_file = '/s', password_file = '/p'",
            "gw.toml:2: entra.credential.password_file: it goes with `certificate`",
        ),
        (
            "secret_file = '/s', send_x5c = true",
            "configuration: entra.credential.send_x5c: it goes with `certificate`",
        ),
        (
            "managed_identity = false",
            "gw.toml:2: entra.credential.managed_identity: a string or true is wanted, not a false",
        ),
        (
            "managed_identity = 'mine'",
            "gw.toml:2: entra.credential.managed_identity: \"mine\" is neither true nor",
        ),
        (
            "certificates = '/c'",
            "gw.toml:2: entra.credential.certificates: unknown key; `certificate` is meant?",
        ),
    ] {
        let problems = lines(with(form, &[]));
        assert_eq!(problems.len(), 1, "{form}: {problems:#?}");
        assert!(problems[0].starts_with(expected), "{form}: {problems:#?}");
    }
}

#[cfg(unix)]
#[test]
fn lo_06_a_key_that_all_can_read_is_warned_of_and_a_file_of_no_use_too() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::temp_dir().join(format!("obo-gateway-key-{}", uuid::Uuid::new_v4()));
    std::fs::write(&path, "no certificate").unwrap();
    let form = format!("certificate = '{}'", path.display());
    let variable = path.display().to_string();
    let variable = [("AZURE_CLIENT_CERTIFICATE_PATH", &*variable)];
    for (mode, open) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        for config in [with(&form, &[]).unwrap(), with("", &variable).unwrap()] {
            let warnings = config.warnings().to_string();
            assert!(
                warnings.contains("neither PEM nor a PFX file"),
                "{warnings}"
            );
            assert_eq!(
                warnings.contains("every user of this machine"),
                open,
                "{warnings}"
            );
        }
    }
    std::fs::remove_file(&path).unwrap();
}

#[cfg(unix)]
#[test]
fn a_warning_says_where_the_setting_stands() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::temp_dir().join(format!("obo-gateway-key-{}", uuid::Uuid::new_v4()));
    std::fs::write(&path, "no key").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let file = path.display();
    let text = format!(
        "trusted_proxies = ['0.0.0.0/0']\n[tls]\ncertificate = '/c'\nkey = '{file}'\n\
         [cache]\nredis_url = 'redis://:a@cache.example'\nredis_key_file = '{file}'"
    );
    let warnings = with_file(&text).unwrap().warnings();
    let places: Vec<_> = (warnings.iter())
        .map(|warning| format!("{}: {}", warning.origin(), warning.key()))
        .collect();
    let expected = [
        "gw.toml:7: cache.redis_key_file",
        "gw.toml:6: cache.redis_url",
        "gw.toml:4: tls.key",
        "gw.toml:1: trusted_proxies",
    ];
    assert_eq!(places, expected, "{warnings}");
    std::fs::remove_file(&path).unwrap();
}
