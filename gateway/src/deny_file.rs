//! The file that says who is refused although the token is good, read anew when it changes.
//!
//! One line for whom to refuse, in the words of [`crate::denied`]. What follows a `#` is for people.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{task, time};
use tower_obo::DenyRule;

use crate::{
    config::Accept,
    denied::{Denied, rule},
};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long it may take to be read, and how long it may be another each time, before that is said.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the file cannot be used, one problem a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DenyFileError(String);

/// Keeps a list as its file is.
#[derive(Debug)]
pub(crate) struct DenyFile {
    path: PathBuf,
    /// Whether the tokens are Entra ID's.
    entra: bool,
    denied: Denied,
    /// What was used last or said to be wrong, so that neither is said twice.
    known: Result<String, DenyFileError>,
    /// What was read last.
    seen: Result<String, DenyFileError>,
    /// How often in a row it was another than before.
    restless: u32,
    /// Whether it has been said that nobody knows what it says.
    doubted: bool,
    patience: Duration,
}

impl DenyFile {
    /// Reads the file; `None` where the configuration names none. `entra`: the tokens are Entra ID's.
    ///
    /// # Errors
    ///
    /// It cannot be read, or a line of it cannot be meant: whoever is to be kept out would get in.
    pub(crate) fn load(accept: &Accept, entra: bool) -> Result<Option<Self>, DenyFileError> {
        let Some(path) = &accept.deny_file else {
            return Ok(None);
        };
        let text = read(path)?;
        let rules = parse(path, &text, entra)?;
        let denied = Denied::default();
        denied.are_of_entra(entra);
        denied.take_file(rules);
        Ok(Some(Self {
            path: path.clone(),
            entra,
            denied,
            known: Ok(text.clone()),
            seen: Ok(text),
            restless: 0,
            doubted: false,
            patience: PATIENCE,
        }))
    }

    pub(crate) fn denied(&self) -> Denied {
        self.denied.clone()
    }

    /// Looks at the file for ever.
    pub(crate) async fn run(mut self) {
        let mut ticks = time::interval(LOOK);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A file system may hang; what else runs here must not.
            let (denied, patience) = (self.denied(), self.patience);
            let mut looking = task::spawn_blocking(move || {
                let found = self.look();
                (self, found)
            });
            let in_time = time::timeout(patience, &mut looking).await;
            let hung = in_time.is_err();
            if hung {
                denied.set_stale(true);
                tracing::error!(
                    key = "accept.deny_file",
                    "the deny file has not been read for {} s, since its file system does not answer; the old list \
                     stays in force",
                    patience.as_secs()
                );
            }
            let looked = match in_time {
                Ok(looked) => looked,
                Err(_) => looking.await,
            };
            let Ok((this, found)) = looked else {
                denied.set_stale(true);
                tracing::error!("the deny file is not read any more");
                return;
            };
            self = this;
            self.doubted |= hung;
            match found {
                None => {}
                Some(Ok(())) => tracing::info!(
                    rules = self.denied.list.len(),
                    "the deny file has been read anew and holds from now on"
                ),
                Some(Err(error)) => tracing::error!(
                    key = "accept.deny_file",
                    %error,
                    "the deny file has changed and cannot be used; the old list stays in force"
                ),
            }
        }
    }

    /// Takes what has changed, or finds it wrong; `None` where there is nothing to say.
    fn look(&mut self) -> Option<Result<(), DenyFileError>> {
        let found = read(&self.path);
        // A file is seldom written in one moment, and half of one would let the others in: nothing is
        // used or said to be wrong before it has been the same twice.
        let settled = self.seen == found;
        self.seen.clone_from(&found);
        if !settled {
            self.restless += 1;
            if self.doubted || f64::from(self.restless) < PATIENCE.div_duration_f64(LOOK) {
                return None;
            }
            self.doubted = true;
            self.denied.set_stale(true);
            return Some(Err(DenyFileError(format!(
                "accept.deny_file: {}: it is another each second; write it beside its place, rename it into that \
                 (`mv`), and leave it for two seconds",
                self.path.display()
            ))));
        }
        self.restless = 0;
        let entra = self.denied.is_of_entra();
        let is_of_another = std::mem::replace(&mut self.entra, entra) != entra;
        // Once that was in doubt it is said again what holds.
        if !std::mem::take(&mut self.doubted) && found == self.known && !is_of_another {
            return None;
        }
        self.known.clone_from(&found);
        let rules = found.and_then(|text| parse(&self.path, &text, self.entra));
        self.denied.set_stale(rules.is_err());
        Some(rules.map(|rules| self.denied.take_file(rules)))
    }
}

fn read(path: &Path) -> Result<String, DenyFileError> {
    let problem = |reason: &dyn std::fmt::Display| {
        DenyFileError(format!(
            "accept.deny_file: {}: {reason}; a file with nothing in it refuses nobody",
            path.display()
        ))
    };
    let bytes =
        fs::read(path).map_err(|error| problem(&format_args!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|_| problem(&"is not UTF-8"))
}

/// The rules of a file, or everything that is wrong with it.
fn parse(path: &Path, text: &str, entra: bool) -> Result<Vec<DenyRule>, DenyFileError> {
    let mut rules = Vec::new();
    let mut problems = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split_whitespace();
        let words: Vec<&str> = words
            .by_ref()
            .take_while(|word| !word.starts_with('#'))
            .collect();
        if words.is_empty() {
            continue;
        }
        match rule(&words, entra) {
            Ok(rule) => rules.push(rule),
            Err(reason) => {
                let end = if problems.is_empty() { "" } else { "\n" };
                // What is written to a text does not fail.
                let _ = write!(
                    problems,
                    "{end}accept.deny_file: {}:{number}: {reason}",
                    path.display()
                );
            }
        }
    }
    if problems.is_empty() {
        Ok(rules)
    } else {
        Err(DenyFileError(problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTOSO: &str = "c0a705a0-0000-4000-8000-000000000001";
    const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";

    fn of(text: &str) -> Result<Vec<DenyRule>, String> {
        parse(Path::new("deny"), text, true).map_err(|error| error.0)
    }

    #[test]
    fn each_line_is_somebody() {
        let text = format!(
            "# cut off on Friday\n\n  tid={CONTOSO} oid={ALICE}   # Alice's laptop is lost\n\
             azp={ALICE}\nuti=AbC-_1\ntid={CONTOSO} oid=*\nazp={ALICE} oid={ALICE} tid={CONTOSO}\n"
        );
        let application = || DenyRule::application(ALICE);
        assert_eq!(
            of(&text).unwrap(),
            [
                DenyRule::user(CONTOSO, ALICE),
                application(),
                DenyRule::token("AbC-_1"),
                DenyRule::tenant(CONTOSO),
                DenyRule::user(CONTOSO, ALICE).and(application()),
            ]
        );
        assert!(of("").unwrap().is_empty());
    }

    #[test]
    fn every_line_that_cannot_be_meant_is_named() {
        for (line, says) in [
            (format!("tid={CONTOSO}"), "whole tenant"),
            (format!("oid={ALICE}"), "tid and oid together"),
            ("oid=*".to_owned(), "tid and oid together"),
            ("azp=*".to_owned(), "no GUID"),
            (format!("tid={CONTOSO} oid=alice"), "no GUID"),
            ("alice".to_owned(), "says nothing"),
            ("uti=".to_owned(), "says nothing"),
            ("upn=alice@contoso.example".to_owned(), "no word"),
            ("sub=alice".to_owned(), "no word"),
            ("uti=a uti=b".to_owned(), "twice"),
        ] {
            let error = of(&format!("\n{line}\nuti=x")).unwrap_err();
            assert!(error.contains(says), "{error}");
            assert!(error.starts_with("accept.deny_file: deny:2: "), "{error}");
        }
        assert_eq!(of("a\nb").unwrap_err().lines().count(), 2);
    }

    #[test]
    fn another_provider_s_users_are_known_by_sub() {
        let of = |text| parse(Path::new("deny"), text, false).map_err(|error| error.0);
        let rules = of("sub=auth0|1#2 azp=shop").unwrap();
        let expected = DenyRule::subject("auth0|1#2").and(DenyRule::application("shop"));
        assert_eq!(rules, [expected]);
        assert!(of("tid=x oid=y").unwrap_err().contains("`sub=…`"));
    }

    #[test]
    fn a_file_is_used_when_it_was_the_same_twice_and_a_bad_one_changes_nothing() {
        let folder = std::env::temp_dir().join(format!("obo-deny-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("deny");
        let write = |text: &str| fs::write(&path, text).unwrap();
        write("");
        let denied = Denied::default();
        let mut file = DenyFile {
            path: path.clone(),
            entra: true,
            denied: denied.clone(),
            known: Ok(String::new()),
            seen: Ok(String::new()),
            restless: 0,
            doubted: false,
            patience: PATIENCE,
        };
        assert_eq!(file.look(), None);
        write("uti=a\nuti=b");
        assert_eq!(
            (file.look(), denied.list.len()),
            (None, 0),
            "half a file, perhaps"
        );
        assert_eq!((file.look(), denied.list.len()), (Some(Ok(())), 2));
        assert_eq!(file.look(), None);

        write("uti=c\nalice");
        assert_eq!(file.look(), None);
        assert!(matches!(file.look(), Some(Err(_))));
        assert_eq!(file.look(), None, "it is said once");
        assert!(denied.list.len() == 2 && denied.is_stale());
        fs::remove_file(&path).unwrap();
        assert_eq!(file.look(), None);
        let gone = file.look().unwrap().unwrap_err();
        assert!(gone.0.contains("cannot be read"), "{gone}");
        assert_eq!(denied.list.len(), 2);

        write("");
        file.look();
        assert_eq!(file.look(), Some(Ok(())));
        assert!(denied.list.is_empty() && !denied.is_stale());

        write(&format!(
            "tid={0} oid={0}",
            "11111111-2222-3333-4444-555555555555"
        ));
        file.look();
        assert_eq!(file.look(), Some(Ok(())));
        denied.are_of_entra(false);
        let wrong = file.look().unwrap().unwrap_err();
        assert!(wrong.0.contains("sub=…"), "{wrong}");
        assert!(
            denied.list.len() == 1 && denied.is_stale(),
            "it stays in force"
        );
        denied.are_of_entra(true);
        assert_eq!(file.look(), Some(Ok(())));
        assert!(!denied.is_stale());
        fs::remove_dir_all(&folder).unwrap();
    }

    fn watched(path: &Path) -> DenyFile {
        DenyFile {
            path: path.to_path_buf(),
            entra: true,
            denied: Denied::default(),
            known: Ok(String::new()),
            seen: Ok(String::new()),
            restless: 0,
            doubted: false,
            patience: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_file_that_never_stays_the_same_is_said_to_be_not_in_force_until_it_does() {
        let name = format!("obo-deny-restless-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut file = watched(&path);
        let mut said = Vec::new();
        for second in 0..15 {
            fs::write(&path, format!("uti=a # {second}")).unwrap();
            said.extend(file.look());
        }
        let [Err(error)] = said.as_slice() else {
            panic!("{said:?}");
        };
        assert!(error.0.contains("another each second"), "{error}");
        assert!(file.denied.is_stale() && file.denied.list.is_empty());
        assert_eq!(file.look(), Some(Ok(())));
        assert!(!file.denied.is_stale() && file.denied.list.len() == 1);
        fs::remove_file(&path).unwrap();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_that_hangs_is_said_to_be_not_in_force_until_it_answers() {
        let folder = std::env::temp_dir().join(format!("obo-deny-hangs-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let [path, pipe, plain] = ["deny", "pipe", "plain"].map(|name| folder.join(name));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        fs::hard_link(&pipe, &path).unwrap();
        let file = watched(&path);
        let denied = file.denied();
        let running = tokio::spawn(file.run());
        let until = async |stale| {
            let changed = async {
                while denied.is_stale() != stale {
                    time::sleep(Duration::from_millis(10)).await;
                }
            };
            time::timeout(Duration::from_secs(20), changed).await
        };
        let said = until(true).await;
        // It answers again, as it was.
        fs::write(&plain, "").unwrap();
        fs::rename(&plain, &path).unwrap();
        // Open for both, which never waits for a reader, and lets one go on that waits.
        let both = fs::File::options().read(true).write(true).open(pipe);
        drop(both.unwrap());
        said.unwrap();
        until(false).await.unwrap();
        running.abort();
        fs::remove_dir_all(&folder).unwrap();
    }
}
