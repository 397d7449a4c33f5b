//! Browser sessions: who is signed in, and the sign-ins under way.
//!
//! Each form names its flow, and a flow is only ever found in the session it was started in: a page
//! of another site can neither post a form here nor sign the browser in as somebody else.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::flow::Flow;
use crate::encoding::random;

/// A session ends when it wasn't used for so long, in seconds.
const IDLE: i64 = 24 * 3_600;
/// A sign-in may stay open so long, in seconds.
const FLOW_LIFETIME: i64 = 3_600;
/// Tabs that may be signing in at once; the oldest give way.
const FLOWS: usize = 20;
/// So many sessions at the most.
const SESSIONS: usize = 10_000;

/// Who signed in, and how.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    /// Object id in the home tenant.
    pub(crate) oid: String,
    /// The user's count of revocations then.
    pub(crate) revocations: u32,
    /// With a second factor.
    pub(crate) mfa: bool,
}

#[derive(Debug, Default)]
struct Session {
    user: Option<SignedIn>,
    flows: HashMap<String, Flow>,
    used: i64,
}

/// All sessions, by the value of their cookie.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    all: Mutex<HashMap<String, Session>>,
}

/// Sweeps out the tenth that was used longest ago, those that nobody signed in to first: whoever
/// opens sessions without end must not end those of people. A tenth, so that it is rare.
fn make_room(all: &mut HashMap<String, Session>) {
    let mut order: Vec<_> = all
        .iter()
        .map(|(id, session)| (session.user.is_some(), session.used, id.clone()))
        .collect();
    order.sort_unstable();
    for (_, _, id) in order.into_iter().take(SESSIONS / 10) {
        all.remove(&id);
    }
}

impl Sessions {
    /// The session of this cookie, or a new one: its id.
    pub(crate) fn open(&self, cookie: Option<&str>, now: i64) -> String {
        let mut all = self.lock();
        let known = cookie
            .and_then(|id| all.get_mut(id).map(|session| (id, session)))
            .filter(|(_, session)| session.used + IDLE > now);
        if let Some((id, session)) = known {
            session.used = now;
            return id.to_owned();
        }
        if all.len() >= SESSIONS {
            make_room(&mut all);
        }
        let id = random(32);
        let session = Session {
            used: now,
            ..Session::default()
        };
        all.insert(id.clone(), session);
        id
    }

    pub(crate) fn user(&self, id: &str) -> Option<SignedIn> {
        self.lock().get(id)?.user.clone()
    }

    /// Remembers a sign-in under way: its id.
    pub(crate) fn start_flow(&self, id: &str, flow: Flow) -> String {
        let name = random(18);
        let now = flow.started;
        if let Some(session) = self.lock().get_mut(id) {
            session
                .flows
                .retain(|_, flow| flow.started + FLOW_LIFETIME > now);
            if session.flows.len() >= FLOWS
                && let Some(oldest) = session
                    .flows
                    .iter()
                    .min_by_key(|(_, flow)| flow.started)
                    .map(|(name, _)| name.clone())
            {
                session.flows.remove(&oldest);
            }
            session.flows.insert(name.clone(), flow);
        }
        name
    }

    pub(crate) fn flow(&self, id: &str, name: &str, now: i64) -> Option<Flow> {
        let all = self.lock();
        let flow = all.get(id)?.flows.get(name)?;
        (flow.started + FLOW_LIFETIME > now).then(|| flow.clone())
    }

    pub(crate) fn update_flow(&self, id: &str, name: &str, change: impl FnOnce(&mut Flow)) {
        if let Some(flow) = self
            .lock()
            .get_mut(id)
            .and_then(|session| session.flows.get_mut(name))
        {
            change(flow);
        }
    }

    pub(crate) fn end_flow(&self, id: &str, name: &str) {
        if let Some(session) = self.lock().get_mut(id) {
            session.flows.remove(name);
        }
    }

    /// Signs in, under a new id: whoever knew the old one is left behind.
    pub(crate) fn sign_in(&self, id: &str, user: SignedIn) -> String {
        let mut all = self.lock();
        let mut session = all.remove(id).unwrap_or_default();
        session.user = Some(user);
        let id = random(32);
        all.insert(id.clone(), session);
        id
    }

    /// Ends the session: who was signed in.
    pub(crate) fn end(&self, id: &str) -> Option<SignedIn> {
        self.lock().remove(id)?.user
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_without_end_do_not_end_those_of_people() {
        let sessions = Sessions::default();
        let signed_in = sessions.open(None, 0);
        sessions.lock().get_mut(&signed_in).unwrap().user = Some(SignedIn {
            oid: "alice".to_owned(),
            revocations: 0,
            mfa: false,
        });
        for now in 1..=2 * SESSIONS as i64 {
            sessions.open(None, now);
        }
        assert!(sessions.lock().len() <= SESSIONS);
        assert!(sessions.user(&signed_in).is_some());
    }
}
