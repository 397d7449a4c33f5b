//! Where everything is: for people, and as JSON for scripts.

use std::fmt;

use entra_emulator::Emulator;
use serde::Serialize;

/// Where everything is, and who can sign in. The fields are those of `cargo demo --json`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The web app: what to open in a browser.
    pub demo_ui: String,
    /// The gateway, in front of the backend.
    pub gateway: String,
    /// The backend. It checks nothing: only the gateway should call it.
    pub demo_backend: String,
    /// Entra ID, emulated.
    pub entra: String,
    /// Azure Resource Manager, emulated.
    pub arm: String,
    /// Who can sign in.
    pub users: Vec<UserSummary>,
    /// Usual ports that somebody else has: others were taken in their place.
    #[serde(skip)]
    taken: Vec<u16>,
}

/// Somebody who can sign in. The passwords are the emulator's, and on its home page.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct UserSummary {
    /// What to type on the sign-in page.
    pub username: String,
    /// The password.
    pub password: String,
    /// What is special about the user.
    pub note: String,
}

impl Summary {
    pub(crate) fn new(
        emulator: &Emulator,
        backend: &demo_backend::Running,
        gateway: &obo_gateway::Running,
        ui: &demo_ui::Running,
        taken: Vec<u16>,
    ) -> Self {
        let directory = emulator.directory();
        Self {
            demo_ui: ui.url().to_owned(),
            gateway: gateway.url().to_owned(),
            demo_backend: backend.url().to_owned(),
            entra: emulator.url().to_owned(),
            arm: emulator.arm_url().to_owned(),
            users: directory
                .users
                .iter()
                .map(|user| UserSummary {
                    username: user.username.clone(),
                    password: user.password.clone(),
                    note: user.note.clone(),
                })
                .collect(),
            taken,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: fn(&UserSummary) -> &str| {
            self.users
                .iter()
                .map(|user| text(user).len())
                .max()
                .unwrap_or(0)
        };
        let (names, passwords) = (width(|user| &user.username), width(|user| &user.password));
        writeln!(f, "On-Behalf-Of demo: everything runs.\n")?;
        writeln!(f, "  Open        {}\n", self.demo_ui)?;
        if !self.taken.is_empty() {
            let taken: Vec<_> = self.taken.iter().map(u16::to_string).collect();
            let taken = taken.join(", ");
            writeln!(f, "  In use already, so other ports were taken: {taken}\n")?;
        }
        for (part, url, what) in [
            (
                "demo-ui",
                &self.demo_ui,
                "web app: signs in, shows your subscriptions",
            ),
            (
                "gateway",
                &self.gateway,
                "validates, exchanges On-Behalf-Of, forwards",
            ),
            (
                "backend",
                &self.demo_backend,
                "asks Resource Manager with what it is handed",
            ),
            (
                "Entra ID",
                &self.entra,
                "emulator: open it, too. What each token request went through, buttons for faults",
            ),
            ("ARM", &self.arm, "emulator: subscriptions"),
        ] {
            writeln!(f, "  {part:<10}  {url:<24}  {what}")?;
        }
        writeln!(f, "\n  Sign in as")?;
        for user in &self.users {
            let (name, password, note) = (&user.username, &user.password, &user.note);
            writeln!(f, "    {name:<names$}  {password:<passwords$}  {note}")?;
        }
        writeln!(f, "\n  Or with curl")?;
        writeln!(
            f,
            "    TOKEN=$(cargo demo token --user alice --url {})",
            self.entra
        )?;
        writeln!(
            f,
            "    curl -i -H \"Authorization: Bearer $TOKEN\" {}/subscriptions",
            self.gateway
        )?;
        write!(f, "\n  Ctrl-C ends it.")
    }
}
