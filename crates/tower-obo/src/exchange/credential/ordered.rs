//! The credential that the environment tells of, as Azure's own libraries find it.
//!
//! <https://learn.microsoft.com/azure/developer/python/sdk/authentication/credential-chains>

use super::{ClientCertificate, Credential, ManagedIdentity};
use crate::ConfigErrors;

/// Which kinds are looked for.
#[derive(Clone, Copy)]
struct Wanted {
    environment: bool,
    workload: bool,
    /// A managed identity that variables tell of.
    managed: bool,
    /// That of the virtual machine, of which nothing tells.
    machine: bool,
}

const SELECTION: &str = "AZURE_TOKEN_CREDENTIALS";

pub(super) fn first(lookup: impl Fn(&str) -> Option<String>) -> Result<Credential, ConfigErrors> {
    let get = |name| lookup(name).filter(|value: &String| !value.trim().is_empty());
    let wanted = Wanted::by(get(SELECTION).as_deref())?;
    let environment = || by_secret(&get).or_else(|| by_certificate(&get));
    let workload = || {
        let name = "AZURE_FEDERATED_TOKEN_FILE";
        Some(Credential::federated_token_file(get(name)?).told_by(name))
    };
    let managed = || {
        let told = ["IDENTITY_ENDPOINT", "AZURE_POD_IDENTITY_AUTHORITY_HOST"];
        let variable = told.into_iter().find(|name| get(name).is_some());
        let variable = variable.or_else(|| wanted.machine.then_some(SELECTION))?;
        let mut identity = ManagedIdentity::from_lookup(&lookup);
        if let Some(client_id) = get("AZURE_CLIENT_ID") {
            identity = identity.client_id(client_id);
        }
        Some(Credential::managed_identity(identity).told_by(variable))
    };
    let found = (wanted.environment.then(environment).flatten())
        .or_else(|| wanted.workload.then(workload).flatten())
        .or_else(|| wanted.managed.then(managed).flatten());
    let Some(credential) = found else {
        let problem = "no credential is set: give AZURE_CLIENT_SECRET, \
                       AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE, or \
                       AZURE_TOKEN_CREDENTIALS=ManagedIdentityCredential for a managed identity";
        return Err(ConfigErrors::new(
            "AZURE_CLIENT_SECRET",
            problem.to_owned(),
            Vec::new(),
        ));
    };
    tracing::info!(credential = %credential.describe(), "the credential of the environment is used");
    Ok(credential)
}

fn by_secret(get: &impl Fn(&'static str) -> Option<String>) -> Option<Credential> {
    let name = "AZURE_CLIENT_SECRET";
    Some(Credential::secret(get(name)?).told_by(name))
}

fn by_certificate(get: &impl Fn(&'static str) -> Option<String>) -> Option<Credential> {
    let name = "AZURE_CLIENT_CERTIFICATE_PATH";
    let mut certificate = ClientCertificate::file(get(name)?);
    // Without that feature, what needs a password is refused when it is read.
    #[cfg(feature = "pfx")]
    if let Some(password) = get("AZURE_CLIENT_CERTIFICATE_PASSWORD") {
        certificate = certificate.with_password(password);
    }
    if get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN").is_some_and(|value| is_true(&value)) {
        certificate = certificate.send_chain();
    }
    Some(Credential::certificate(certificate).told_by(name))
}

fn is_true(value: &str) -> bool {
    value == "1" || value.eq_ignore_ascii_case("true")
}

impl Wanted {
    fn by(selection: Option<&str>) -> Result<Self, ConfigErrors> {
        let none = Self {
            environment: false,
            workload: false,
            managed: false,
            machine: false,
        };
        let all = Self {
            environment: true,
            workload: true,
            managed: true,
            machine: false,
        };
        Ok(match selection.map(str::to_ascii_lowercase).as_deref() {
            None => all,
            Some("prod") => Self {
                machine: true,
                ..all
            },
            Some("environmentcredential") => Self {
                environment: true,
                ..none
            },
            Some("workloadidentitycredential") => Self {
                workload: true,
                ..none
            },
            Some("managedidentitycredential") => Self {
                managed: true,
                machine: true,
                ..none
            },
            Some(other) => {
                let problem = format!(
                    "{other:?} is none of prod, EnvironmentCredential, \
                     WorkloadIdentityCredential and ManagedIdentityCredential: others stand for \
                     developers and not for an application"
                );
                return Err(ConfigErrors::new(SELECTION, problem, Vec::new()));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Kind, tests::Lines},
        *,
    };

    const ALL: [(&str, &str); 5] = [
        ("AZURE_CLIENT_SECRET", "s3cret"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
        ("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token"),
        ("IDENTITY_HEADER", "s3cret-header"),
    ];

    fn taken(variables: &[(&str, &str)]) -> Result<String, ConfigErrors> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let credential = first(lookup)?;
        let debug = format!("{credential:?}");
        assert!(!debug.contains("s3cret"), "{debug}");
        Ok(credential.describe())
    }

    #[test]
    fn the_first_credential_of_the_environment_is_taken_in_azures_order() {
        let order = [
            "client secret (AZURE_CLIENT_SECRET)",
            "certificate in /c.pem (AZURE_CLIENT_CERTIFICATE_PATH)",
            "federated token in /token (AZURE_FEDERATED_TOKEN_FILE)",
            "managed identity of IDENTITY_ENDPOINT (IDENTITY_ENDPOINT)",
        ];
        for (at, expected) in order.iter().enumerate() {
            assert_eq!(taken(&ALL[at..]).unwrap(), *expected);
            // Empty ones count for nothing.
            let mut variables = ALL;
            for variable in &mut variables[..at] {
                variable.1 = " ";
            }
            assert_eq!(taken(&variables).unwrap(), *expected);
        }
        let host = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:2")];
        assert_eq!(
            taken(&host).unwrap(),
            "managed identity of http://127.0.0.1:2 (AZURE_POD_IDENTITY_AUTHORITY_HOST)"
        );
    }

    /// What is told of a certificate, as its own settings.
    fn certificate(more: &[(&str, &str)]) -> String {
        let get = |name: &'static str| {
            let all = ALL.iter().chain(more);
            let mut found = all.filter(|(key, _)| *key == name);
            found.next().map(|(_, value)| (*value).to_owned())
        };
        match &*by_certificate(&get).unwrap().kind {
            Kind::Certificate(certificate) => format!("{:?}", certificate.settings()),
            _ => panic!("it is another kind"),
        }
    }

    #[test]
    fn azures_variables_say_whether_a_certificate_s_chain_is_sent() {
        const CHAIN: &str = "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN";
        for (value, sent) in [
            (None, false),
            (Some("true"), true),
            (Some("True"), true),
            (Some("1"), true),
            (Some("false"), false),
            (Some("0"), false),
            (Some("yes"), false),
        ] {
            let more = value.map(|value| (CHAIN, value));
            let settings = certificate(more.as_slice());
            let expected = format!("send_chain: {sent}");
            assert!(settings.contains(&expected), "{value:?}: {settings}");
        }
    }

    #[cfg(feature = "pfx")]
    #[test]
    fn azures_variables_have_the_password_of_a_certificate() {
        assert!(certificate(&[]).contains("password: None"));
        let settings = certificate(&[("AZURE_CLIENT_CERTIFICATE_PASSWORD", "s3cret")]);
        assert!(settings.contains("password: Some(Value("), "{settings}");
        assert!(!settings.contains("s3cret"), "{settings}");
    }

    #[test]
    fn the_log_says_which_one_was_taken() {
        let lines = Lines::default();
        let _default = tracing::subscriber::set_default(lines.clone());
        taken(&ALL[1..]).unwrap();
        assert_eq!(
            lines.take(),
            ["INFO message=the credential of the environment is used \
              credential=certificate in /c.pem (AZURE_CLIENT_CERTIFICATE_PATH)"]
        );
    }

    #[test]
    fn azure_client_id_names_the_managed_identity() {
        const ID: (&str, &str) = ("AZURE_CLIENT_ID", "11111111-0000-4000-8000-000000000001");
        assert_eq!(
            taken(&[ALL[3], ALL[4], ID]).unwrap(),
            format!(
                "managed identity {} of IDENTITY_ENDPOINT (IDENTITY_ENDPOINT)",
                ID.1
            )
        );
    }

    #[test]
    fn nothing_is_an_error_that_says_what_there_could_be() {
        for variables in [&[][..], &[(SELECTION, "WorkloadIdentityCredential")]] {
            let errors = taken(variables).unwrap_err().to_string();
            assert!(
                errors.starts_with("AZURE_CLIENT_SECRET: no credential"),
                "{errors}"
            );
        }
    }

    #[test]
    fn azure_token_credentials_narrows_the_choice() {
        let machine = "managed identity of http://169.254.169.254 (AZURE_TOKEN_CREDENTIALS)";
        for (selection, expected) in [
            ("prod", "client secret (AZURE_CLIENT_SECRET)"),
            (
                "EnvironmentCredential",
                "client secret (AZURE_CLIENT_SECRET)",
            ),
            (
                "workloadidentitycredential",
                "federated token in /token (AZURE_FEDERATED_TOKEN_FILE)",
            ),
            (
                "ManagedIdentityCredential",
                "managed identity of IDENTITY_ENDPOINT (IDENTITY_ENDPOINT)",
            ),
        ] {
            let mut variables = ALL.to_vec();
            variables.push((SELECTION, selection));
            assert_eq!(taken(&variables).unwrap(), expected, "{selection}");
        }
        for selection in ["prod", "ManagedIdentityCredential"] {
            assert_eq!(taken(&[(SELECTION, selection)]).unwrap(), machine);
        }
        for selection in ["dev", "AzureCliCredential"] {
            let errors = taken(&[(SELECTION, selection)]).unwrap_err();
            assert!(errors.to_string().contains("developers"), "{errors}");
        }
    }
}
