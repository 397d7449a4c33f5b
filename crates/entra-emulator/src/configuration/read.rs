//! From the file's tables to a directory. Whatever refers to something by name is held against what there
//! is, and all that is wrong is said at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Configuration, tables};
use crate::arm::rate::RateLimit;
use crate::directory::{
    Application, Assignment, Certificate, Consent, Directory, FederatedCredential, Mfa, Permission,
    ResourceGroup, Scope, Subscription, Tenant, TokenVersion, User, demo,
};
use crate::encoding::is_guid;

/// What ARM says of a subscription.
const STATES: [&str; 5] = ["Enabled", "Warned", "PastDue", "Disabled", "Deleted"];
/// Subscriptions of one table at most.
const COUNT: usize = 10_000;

pub(super) fn read(file: tables::File, folder: &Path) -> Result<Configuration, Vec<String>> {
    let mut reader = Reader {
        directory: Directory::default(),
        folder,
        problems: Vec::new(),
    };
    file.tenants.into_iter().for_each(|one| reader.tenant(one));
    if reader.directory.tenants.is_empty() {
        reader.wrong("there is no [[tenant]]: at least one is needed");
    }
    file.users.into_iter().for_each(|one| reader.user(one));
    file.applications
        .into_iter()
        .for_each(|one| reader.application(one));
    for own in [demo::arm(), demo::graph()] {
        if reader.directory.application(&own.client_id).is_none() {
            reader.directory.applications.push(own);
        }
    }
    reader.check_permissions();
    file.consents
        .into_iter()
        .for_each(|one| reader.consent(one));
    file.assignments
        .into_iter()
        .for_each(|one| reader.assignment(one));
    if file.token_lifetime == Some(0) {
        reader.wrong("token_lifetime is 0: no token would ever be good");
    }
    if file.page_size == Some(0) {
        reader.wrong("page_size is 0: no page would hold anything");
    }
    let limit = file.arm_rate_limit;
    if limit
        .as_ref()
        .is_some_and(|limit| limit.bucket == 0 || limit.per_second == 0)
    {
        reader.wrong("arm_rate_limit: bucket and per_second must be at least 1");
    }
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    Ok(Configuration {
        directory: reader.directory,
        token_lifetime: file
            .token_lifetime
            .map(|seconds| Duration::from_secs(seconds.into())),
        page_size: file.page_size,
        arm_rate_limit: limit.map(|limit| RateLimit::new(limit.bucket, limit.per_second)),
    })
}

struct Reader<'a> {
    directory: Directory,
    folder: &'a Path,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn wrong(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    fn guid(&mut self, of: &str, what: &str, id: &str) {
        if !is_guid(id) {
            self.wrong(format!("{of}: {what} {id:?} is no GUID"));
        }
    }

    fn tenant(&mut self, table: tables::Tenant) {
        let tables::Tenant { id, name, domain } = table;
        self.guid(&format!("tenant {name:?}"), "id", &id);
        for known in [&id, &domain] {
            if self.directory.tenant(known).is_some() {
                self.wrong(format!("there are two tenants {known:?}"));
            }
        }
        self.directory.tenants.push(Tenant::new(id, name, domain));
    }

    /// The id of the tenant that is called so, by id or domain.
    fn tenant_id(&mut self, of: &str, name: &str) -> String {
        if let Some(tenant) = self.directory.tenant(name) {
            return tenant.id.clone();
        }
        let known = self.directory.tenants.iter().map(|tenant| &*tenant.domain);
        let known = known.collect::<Vec<_>>().join(", ");
        self.wrong(format!(
            "{of}: no tenant is called {name:?}; there are: {known}"
        ));
        String::new()
    }

    fn user(&mut self, table: tables::User) {
        let of = format!("user {:?}", table.username);
        if self.directory.user(&table.username).is_some() {
            self.wrong(format!("there are two of {of}"));
        }
        let Some((_, domain)) = table.username.split_once('@') else {
            self.wrong(format!(
                "{of}: a user name has a domain, as alice@contoso.example"
            ));
            return;
        };
        let tenant = table.tenant.unwrap_or_else(|| domain.to_owned());
        let tenant = self.tenant_id(&of, &tenant);
        let mut user = User::new(tenant, table.username).note(table.note);
        if let Some(oid) = table.oid {
            self.guid(&of, "oid", &oid);
            user = user.oid(oid);
        }
        if let Some(name) = table.name {
            user = user.display_name(name);
        }
        if let Some(password) = table.password {
            user = user.password(password);
        }
        user.disabled = table.disabled;
        user.mfa = match table.mfa {
            tables::Mfa::NotRequired => Mfa::NotRequired,
            tables::Mfa::Required => Mfa::Required,
            tables::Mfa::NotEnrolled => Mfa::NotEnrolled,
        };
        for (name, oid) in table.guest_in {
            self.guid(&of, "guest_in", &oid);
            let tenant = self.tenant_id(&of, &name);
            user = user.guest_in(tenant, oid);
        }
        for subscription in table.subscriptions {
            let read = self.subscriptions(&of, subscription);
            user.subscriptions.extend(read);
        }
        let mut tenants = self.directory.tenants.iter().map(|tenant| &*tenant.id);
        let taken = tenants.find_map(|tenant| {
            let other = self.directory.user_in(tenant, user.oid_in(tenant)?)?;
            Some(other.username.clone())
        });
        // That there are two of a name has been said.
        if let Some(other) = taken.filter(|other| *other != user.username) {
            self.wrong(format!(
                "{of}: user {other:?} has the same object id in the same tenant"
            ));
        }
        self.directory.users.push(user);
    }

    fn subscriptions(&mut self, of: &str, table: tables::Subscription) -> Vec<Subscription> {
        let name = table.name;
        if let Some(id) = &table.id {
            self.guid(&format!("{of}, subscription {name:?}"), "id", id);
            if table.count.is_some() {
                self.wrong(format!(
                    "{of}, subscription {name:?}: one id is not good for several"
                ));
            }
        }
        let state = table.state.unwrap_or_else(|| "Enabled".to_owned());
        if !STATES.contains(&&*state) {
            let known = STATES.join(", ");
            self.wrong(format!(
                "{of}, subscription {name:?}: no state is called {state:?}; there are: {known}"
            ));
        }
        let names = match table.count {
            None => vec![name],
            Some(count) if count > COUNT => {
                self.wrong(format!(
                    "{of}, subscription {name:?}: {count} are too many; {COUNT} are enough"
                ));
                Vec::new()
            }
            Some(count) => (1..=count)
                .map(|number| format!("{name} {number:03}"))
                .collect(),
        };
        let groups: Vec<ResourceGroup> = table
            .resource_groups
            .into_iter()
            .map(|group| {
                let mut read = ResourceGroup::new(group.name);
                read.tags = group.tags;
                match group.location {
                    Some(location) => read.location(location),
                    None => read,
                }
            })
            .collect();
        let one = |name: String| {
            let mut one = Subscription::new(name).state(state.clone());
            one.tags.clone_from(&table.tags);
            one.resource_groups.clone_from(&groups);
            match &table.id {
                Some(id) => one.id(id.clone()),
                None => one,
            }
        };
        names.into_iter().map(one).collect()
    }

    fn application(&mut self, table: tables::Application) {
        let of = format!("application {:?}", table.name);
        self.guid(&of, "client_id", &table.client_id);
        if self.directory.application(&table.client_id).is_some() {
            self.wrong(format!(
                "{of}: there are two with client_id {:?}",
                table.client_id
            ));
        }
        let tenant = match table.tenant {
            Some(tenant) => self.tenant_id(&of, &tenant),
            None => String::new(),
        };
        let certificates = table.certificates.into_iter();
        let certificates = certificates
            .filter_map(|path| self.certificate(&of, &path))
            .collect();
        let federated = table.federated_credentials.into_iter();
        let federated = federated
            .filter_map(|one| self.federated(&of, one))
            .collect();
        let token_version = match table.token_version {
            None | Some(2) => TokenVersion::V2,
            Some(1) => TokenVersion::V1,
            Some(other) => {
                self.wrong(format!(
                    "{of}: token_version {other} is not known; 1 and 2 are"
                ));
                TokenVersion::V2
            }
        };
        let application = Application {
            multi_tenant: table.multi_tenant,
            app_id_uris: table.app_id_uris,
            secrets: table.secrets,
            certificates,
            federated_credentials: federated,
            redirect_uris: table.redirect_uris,
            post_logout_redirect_uris: table.post_logout_redirect_uris,
            scopes: table
                .scopes
                .into_iter()
                .map(|scope| Scope::new(scope.value, scope.consent))
                .collect(),
            app_roles: table.app_roles,
            assignment_required: table.assignment_required,
            idtyp: table.idtyp,
            own_signing_key: table.own_signing_key,
            required: table
                .permissions
                .into_iter()
                .map(|permission| Permission::new(permission.resource, permission.scopes))
                .collect(),
            known_client_applications: table.known_client_applications,
            token_version,
            mfa_policy: table.mfa_policy,
            ..Application::new(tenant, table.client_id, table.name)
        };
        self.directory.applications.push(application);
    }

    fn certificate(&mut self, of: &str, path: &Path) -> Option<Certificate> {
        let path = self.folder.join(path);
        let pem = self.file(of, &path)?;
        match Certificate::from_pem(&pem) {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                self.wrong(format!("{of}: {}: {error}", path.display()));
                None
            }
        }
    }

    fn federated(
        &mut self,
        of: &str,
        table: tables::FederatedCredential,
    ) -> Option<FederatedCredential> {
        let mut credential = FederatedCredential::new(table.name, table.issuer, table.subject);
        if let Some(audience) = table.audience {
            credential = credential.audience(audience);
        }
        if let Some(path) = table.jwks_file {
            let path: PathBuf = self.folder.join(path);
            let text = self.file(of, &path)?;
            match serde_json::from_str(&text) {
                Ok(jwks) => credential = credential.jwks(jwks),
                Err(error) => {
                    self.wrong(format!("{of}: {} is no JWK set: {error}", path.display()));
                    return None;
                }
            }
        }
        Some(credential)
    }

    fn file(&mut self, of: &str, path: &Path) -> Option<String> {
        match fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) => {
                self.wrong(format!("{of}: {}: {error}", path.display()));
                None
            }
        }
    }

    /// Names that permissions use become client ids, once all applications are known.
    fn check_permissions(&mut self) {
        let mut applications = std::mem::take(&mut self.directory.applications);
        let mut problems = Vec::new();
        let known = applications.clone();
        for application in &mut applications {
            for permission in &mut application.required {
                let found = known
                    .iter()
                    .find(|app| app.is_identified_by(&permission.resource));
                let of = format!("application {:?}, permissions", application.display_name);
                match found {
                    Some(app) => {
                        permission.resource.clone_from(&app.client_id);
                        problems.extend(unknown_scopes(&of, app, &permission.scopes));
                    }
                    None => problems.push(not_there(&of, &permission.resource, &known)),
                }
            }
        }
        self.problems.extend(problems);
        self.directory.applications = applications;
    }

    /// The application that a client id or an App ID URI names.
    fn named(&mut self, of: &str, name: &str) -> Option<Application> {
        let found = self.directory.resource(name).cloned();
        if found.is_none() {
            self.wrong(not_there(of, name, &self.directory.applications));
        }
        found
    }

    fn consent(&mut self, table: tables::Consent) {
        let of = "consent";
        let tenant = self.tenant_id(of, &table.tenant);
        let (client, resource) = (
            self.named(of, &table.client),
            self.named(of, &table.resource),
        );
        let oid = match table.user {
            None => None,
            Some(name) => match self
                .directory
                .user(&name)
                .map(|user| user.oid_in(&tenant).map(str::to_owned))
            {
                Some(Some(oid)) => Some(oid),
                Some(None) => {
                    return self.wrong(format!(
                        "{of}: the user {name:?} is not in the tenant {:?}",
                        table.tenant
                    ));
                }
                None => return self.wrong(format!("{of}: no user is called {name:?}")),
            },
        };
        let Some((client, resource)) = client.zip(resource) else {
            return;
        };
        self.problems
            .extend(unknown_scopes(of, &resource, &table.scopes));
        let consent = Consent::new(
            tenant,
            oid.as_deref().unwrap_or_default(),
            client.client_id,
            resource.client_id,
            table.scopes,
        );
        self.directory.grant(if oid.is_some() {
            consent
        } else {
            consent.for_everyone()
        });
    }

    fn assignment(&mut self, table: tables::Assignment) {
        let of = "assignment";
        let tenant = self.tenant_id(of, &table.tenant);
        let (client, resource) = (
            self.named(of, &table.client),
            self.named(of, &table.resource),
        );
        let Some((client, resource)) = client.zip(resource) else {
            return;
        };
        for role in table
            .roles
            .iter()
            .filter(|role| !resource.app_roles.contains(role))
        {
            self.wrong(format!(
                "{of}: {:?} exposes no role {role:?}",
                resource.display_name
            ));
        }
        let assignment = Assignment::new(tenant, client.client_id, resource.client_id, table.roles);
        self.directory.assignments.push(assignment);
    }
}

fn unknown_scopes(of: &str, resource: &Application, scopes: &[String]) -> Vec<String> {
    let unknown = scopes
        .iter()
        .filter(|scope| resource.scope(scope).is_none());
    unknown
        .map(|scope| {
            format!(
                "{of}: {:?} exposes no scope {scope:?}",
                resource.display_name
            )
        })
        .collect()
}

fn not_there(of: &str, name: &str, known: &[Application]) -> String {
    let known: Vec<&str> = known.iter().map(|app| &*app.display_name).collect();
    let known = known.join(", ");
    format!("{of}: no application has the client id or App ID URI {name:?}; there are: {known}")
}
