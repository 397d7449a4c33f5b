//! Which application is meant where somebody asks for a token of an API.

use std::fmt;

use super::{Application, Directory, demo};

/// An application that was meant is not there, or which one is meant is not said.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UnknownApplication {
    /// What was looked for; empty where nothing was said.
    pub asked: String,
    /// Name and client id of those that would do.
    pub known: Vec<(String, String)>,
    /// What kind was looked for, in words.
    kind: &'static str,
}

impl UnknownApplication {
    fn new<'a>(
        asked: Option<&str>,
        kind: &'static str,
        known: impl Iterator<Item = &'a Application>,
    ) -> Self {
        Self {
            asked: asked.unwrap_or_default().to_owned(),
            known: known
                .map(|app| (app.display_name.clone(), app.client_id.clone()))
                .collect(),
            kind,
        }
    }
}

impl fmt::Display for UnknownApplication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.asked.is_empty() {
            write!(f, "say which {}: there is", self.kind)?;
        } else {
            write!(f, "no {} is called {:?}; there is", self.kind, self.asked)?;
        }
        if self.known.is_empty() {
            return write!(f, " none");
        }
        for (at, (name, id)) in self.known.iter().enumerate() {
            write!(f, "{} {name} ({id})", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownApplication {}

impl Directory {
    /// The API with this client id or App ID URI; where none is named the demo's, or the only one that exposes
    /// something.
    ///
    /// # Errors
    ///
    /// [`UnknownApplication`] where nothing has that name, or where none is named and there is more than one, or none.
    pub fn api(&self, identifier: Option<&str>) -> Result<&Application, UnknownApplication> {
        // Microsoft's own are of no tenant.
        let mut own = (self.applications.iter())
            .filter(|app| !app.tenant.is_empty() && exposes(app))
            .collect::<Vec<_>>();
        let found = match identifier {
            Some(identifier) => self.resource(identifier),
            None => match own[..] {
                [only] => Some(only),
                _ => self.application(demo::API_CLIENT_ID),
            },
        };
        found.ok_or_else(|| {
            own.sort_by(|one, other| one.display_name.cmp(&other.display_name));
            UnknownApplication::new(identifier, "API", own.into_iter())
        })
    }

    /// The application with this client id or App ID URI; where none is named the first that lists the API among
    /// its permissions, or that the API lists among its known clients.
    ///
    /// # Errors
    ///
    /// [`UnknownApplication`] where nothing has that name, or where none is named and none would do.
    pub fn client_of(
        &self,
        api: &Application,
        client: Option<&str>,
    ) -> Result<&Application, UnknownApplication> {
        let others = || {
            (self.applications.iter())
                .filter(|app| !app.tenant.is_empty() && app.client_id != api.client_id)
        };
        let lists = |app: &&Application| {
            (app.required.iter())
                .any(|permission| permission.resource.eq_ignore_ascii_case(&api.client_id))
        };
        let found = match client {
            Some(client) => self.resource(client),
            None => others()
                .find(lists)
                .or_else(|| others().find(|app| api.knows_client(&app.client_id))),
        };
        found.ok_or_else(|| UnknownApplication::new(client, "client", others()))
    }
}

impl Directory {
    /// The command that prints a token from the emulator at `url`: of the first user who can sign in, for the API
    /// that is taken where none is named, or else the first. `None` where there is no user or no API.
    #[must_use]
    pub fn token_command(&self, url: &str) -> Option<String> {
        let user = (self.users.iter().find(|user| !user.disabled)).or(self.users.first())?;
        let short = user.username.split('@').next().unwrap_or_default();
        let unique = self.user(short).is_some_and(|found| found.oid == user.oid);
        let name = if unique { short } else { &user.username };
        let (api, named) = match self.api(None) {
            Ok(api) => (api, String::new()),
            Err(UnknownApplication { known, .. }) => {
                let (_, id) = known.first()?;
                (self.application(id)?, format!(" --api {id}"))
            }
        };
        let client = match self.client_of(api, None) {
            Ok(_) => String::new(),
            Err(UnknownApplication { known, .. }) => format!(" --client {}", known.first()?.1),
        };
        Some(format!(
            "entra-emulator token --user {name}{named}{client} --url {url}"
        ))
    }
}

fn exposes(app: &Application) -> bool {
    !app.scopes.is_empty() || !app.app_roles.is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::{Permission, Scope};
    use super::*;

    const ORDERS: &str = "0bde5000-0000-4000-8000-00000000000a";
    const SHOP: &str = "5b090000-0000-4000-8000-00000000000b";

    fn orders() -> Application {
        Application {
            app_id_uris: vec!["api://orders".to_owned()],
            scopes: vec![Scope::new("read", "Read your orders")],
            ..Application::new(demo::CONTOSO, ORDERS, "Orders")
        }
    }

    #[test]
    fn an_api_is_named_or_the_demos_or_the_only_one() {
        let demo = Directory::demo().with_application(orders());
        assert_eq!(demo.api(None).unwrap().client_id, demo::API_CLIENT_ID);
        for name in [ORDERS, "api://orders", "api://ORDERS/"] {
            assert_eq!(demo.api(Some(name)).unwrap().client_id, ORDERS, "{name}");
        }
        let said = demo.api(Some("api://order")).unwrap_err().to_string();
        assert_eq!(
            said,
            format!(
                "no API is called \"api://order\"; there is Orders ({ORDERS}), Subscriptions API ({})",
                demo::API_CLIENT_ID
            )
        );
        let own = |apps: Vec<Application>| Directory {
            applications: apps,
            ..Directory::default()
        };
        assert_eq!(own(vec![orders()]).api(None).unwrap().client_id, ORDERS);
        let other = Application {
            client_id: SHOP.to_owned(),
            ..orders()
        };
        let said = own(vec![orders(), other])
            .api(None)
            .unwrap_err()
            .to_string();
        assert!(
            said.starts_with("say which API: there is Orders ("),
            "{said}"
        );
        let said = own(Vec::new()).api(None).unwrap_err().to_string();
        assert_eq!(said, "say which API: there is none");
    }

    #[test]
    fn the_command_names_what_is_not_clear_by_itself() {
        let command = |directory: &Directory| directory.token_command("http://x");
        assert_eq!(
            command(&Directory::demo()).unwrap(),
            "entra-emulator token --user alice --url http://x"
        );
        let mut own = Directory::default();
        assert_eq!(command(&own), None);
        own.users = vec![
            crate::directory::User::new(demo::CONTOSO, "al@contoso.example").disabled(),
            crate::directory::User::new(demo::FABRIKAM, "bo@fabrikam.example"),
        ];
        own.applications = vec![orders()];
        assert_eq!(command(&own), None, "no client");
        own.applications
            .push(Application::new(demo::CONTOSO, SHOP, "Shop"));
        let with_client = format!("entra-emulator token --user bo --client {SHOP} --url http://x");
        assert_eq!(command(&own).unwrap(), with_client);
        let other = "0bde5000-0000-4000-8000-00000000000c";
        own.applications.push(Application {
            client_id: other.to_owned(),
            required: vec![Permission::new(ORDERS, ["read"])],
            ..orders()
        });
        let command = command(&own).unwrap();
        assert!(command.contains(&format!(" --api {ORDERS} ")), "{command}");
    }

    #[test]
    fn a_client_is_named_or_one_that_the_api_has_to_do_with() {
        let shop = Application::new(demo::CONTOSO, SHOP, "Shop");
        let directory = Directory::demo()
            .with_application(orders())
            .with_application(shop);
        let of = |api: &Application, client| {
            let found = directory.client_of(api, client);
            found.map(|app| app.client_id.clone())
        };
        let demo_api = directory.api(None).unwrap();
        assert_eq!(of(demo_api, None).unwrap(), demo::UI_CLIENT_ID);
        assert_eq!(of(demo_api, Some(SHOP)).unwrap(), SHOP);
        let said = of(&orders(), None).unwrap_err().to_string();
        assert!(said.starts_with("say which client: there is "), "{said}");
        assert!(said.contains(&format!("Shop ({SHOP})")), "{said}");
        let knows = Application {
            known_client_applications: vec![SHOP.to_owned()],
            ..orders()
        };
        assert_eq!(of(&knows, None).unwrap(), SHOP);
        let mut directory = directory.clone();
        directory.application_mut(SHOP).unwrap().required = vec![Permission::new(ORDERS, ["read"])];
        let found = directory.client_of(&orders(), None).unwrap();
        assert_eq!(found.client_id, SHOP);
    }
}
