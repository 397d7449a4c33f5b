use super::*;
use crate::directory::demo;
use crate::signer::Signer;

const ERIN_IN_CONTOSO: &str = "5b0f7a52-0d1c-4f43-9d38-3a1f5d0c7e11";

fn problems(text: &str) -> Vec<String> {
    Configuration::parse(text, ".")
        .unwrap_err()
        .problems()
        .to_vec()
}

/// The file with the tenant that everything needs.
fn with(text: &str) -> String {
    format!(
        "{text}\n[[tenant]]\nid = '{}'\nname = 'C'\ndomain = 'c.example'\n",
        demo::CONTOSO
    )
}

#[test]
fn the_default_file_is_the_built_in_directory() {
    let read = Configuration::parse(Configuration::DEFAULT, ".").unwrap();
    let built_in = Directory::demo();
    assert!(read.directory.tenants == built_in.tenants);
    for (read, built_in) in read.directory.users.iter().zip(&built_in.users) {
        assert!(read == built_in, "{read:?}, {built_in:?}");
    }
    assert_eq!(read.directory.users.len(), built_in.users.len());
    for (read, built_in) in read
        .directory
        .applications
        .iter()
        .zip(&built_in.applications)
    {
        assert!(read == built_in, "{read:?}, {built_in:?}");
    }
    assert_eq!(
        read.directory.applications.len(),
        built_in.applications.len()
    );
    assert_eq!(read.directory.consents, built_in.consents);
    assert_eq!(read.directory.assignments, built_in.assignments);
    assert_eq!(read.token_lifetime, None);
    assert_eq!(read.page_size, None);
    assert!(read.arm_rate_limit.is_none());
}

#[test]
fn every_setting_of_the_default_file_is_one_that_is_read_when_it_is_uncommented() {
    let folder = tempfile_folder("uncommented");
    let signer = Signer::generate().unwrap();
    std::fs::write(folder.join("client.pem"), signer.certificate_pem()).unwrap();
    std::fs::write(folder.join("jwks.json"), signer.jwks().to_string()).unwrap();
    // What is a setting has a name and an equals sign behind the mark of the comment.
    let is_setting = |line: &str| {
        line.strip_prefix("# ").is_some_and(|line| {
            let name = line.split('=').next().unwrap_or_default().trim();
            line.contains(" = ") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        })
    };
    let lines = Configuration::DEFAULT.lines();
    let text: Vec<&str> = lines
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|_| is_setting(line))
                .unwrap_or(line)
        })
        .collect();
    let text = text
        .join("\n")
        .replace("<object id there>", ERIN_IN_CONTOSO);
    let text = text.replacen("token_version = 1", "", 1);
    let read = Configuration::parse(&text, &folder).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    assert_eq!(read.token_lifetime, Some(Duration::from_secs(3600)));
    assert_eq!(read.page_size, Some(100));
    assert!(read.arm_rate_limit.is_some());
    let api = read.directory.application(demo::API_CLIENT_ID).unwrap();
    assert_eq!(
        (api.certificates.len(), api.federated_credentials.len()),
        (1, 1)
    );
    assert!(api.assignment_required && api.federated_credentials[0].jwks.is_some());
    let erin = read.directory.user("erin").unwrap();
    assert_eq!(erin.oid_in(demo::CONTOSO), Some(ERIN_IN_CONTOSO));
}

fn tempfile_folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("entra-emulator-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_small_file_is_enough() {
    let read = Configuration::parse(
        &with("[[user]]\nusername = 'ann@c.example'\nsubscriptions = [{ name = 'S', count = 2 }]"),
        ".",
    );
    let directory = read.unwrap().directory;
    let ann = directory.user("ann").unwrap();
    assert_eq!(
        (&*ann.tenant, &*ann.display_name, &*ann.password),
        (demo::CONTOSO, "Ann", "ann-demo")
    );
    let names: Vec<_> = ann
        .subscriptions
        .iter()
        .map(|one| &*one.display_name)
        .collect();
    assert_eq!(names, ["S 001", "S 002"]);
    // Whatever is exchanged for them is Microsoft's.
    assert!(directory.application(demo::ARM_CLIENT_ID).is_some());
    assert!(directory.application(demo::GRAPH_CLIENT_ID).is_some());
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_what_would_be_right() {
    let text = with(
        "page_size = 0\ntoken_lifetime = 0\narm_rate_limit = { bucket = 0, per_second = 1 }
        [[user]]\nusername = 'nobody'
        [[user]]\nusername = 'a@elsewhere.example'\noid = 'x'
        [[user]]\nusername = 'b@c.example'\nsubscriptions = [{ name = 'S', state = 'Gone' }]
        [[user]]\nusername = 'b@c.example'
        [[application]]\nclient_id = 'x'\nname = 'App'\ntoken_version = 3\ncertificates = ['no-such-file.pem']\n\
        permissions = [{ resource = 'api://none', scopes = [] }, { resource = 'https://graph.microsoft.com', scopes = ['Mail.Read'] }]
        [[consent]]\ntenant = 'c.example'\nuser = 'zoe'\nclient = 'x'\nresource = 'https://graph.microsoft.com'\nscopes = []
        [[assignment]]\ntenant = 'c.example'\nclient = 'x'\nresource = 'https://graph.microsoft.com'\nroles = ['R']",
    );
    // Domains are looked up when their tenants are known, wherever those stand in the file.
    let problems = problems(&text);
    for expected in [
        "a user name has a domain",
        "user \"a@elsewhere.example\": no tenant is called \"elsewhere.example\"; there are: c.example",
        "oid \"x\" is no GUID",
        "no state is called \"Gone\"; there are: Enabled, Warned",
        "there are two of user \"b@c.example\"",
        "client_id \"x\" is no GUID",
        "token_version 3 is not known",
        "no-such-file.pem",
        "no application has the client id or App ID URI \"api://none\"",
        "\"Microsoft Graph\" exposes no scope \"Mail.Read\"",
        "no user is called \"zoe\"",
        "\"Microsoft Graph\" exposes no role \"R\"",
        "token_lifetime is 0",
        "page_size is 0",
        "arm_rate_limit",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{expected}: {problems:#?}"
        );
    }
    assert_eq!(problems.len(), 15, "{problems:#?}");
}

#[test]
fn a_tenant_is_needed() {
    let problems = problems("page_size = 3");
    assert_eq!(problems, ["there is no [[tenant]]: at least one is needed"]);
}

#[test]
fn nobody_has_the_object_id_of_another() {
    let ann =
        "[[user]]\nusername = 'ann@c.example'\noid = '5b0f7a52-0d1c-4f43-9d38-3a1f5d0c7e11'\n";
    let copied = ann.replace("ann", "bea");
    let found = problems(&with(&format!("{ann}{copied}")));
    let wanted =
        "user \"bea@c.example\": user \"ann@c.example\" has the same object id in the same tenant";
    assert_eq!(found, [wanted]);
}
