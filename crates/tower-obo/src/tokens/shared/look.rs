//! A look into the store: what another process has left there, or is about to.

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    Claim, Found, POLL, Shared, Stored, Want,
    claim::CLAIM,
    hash,
    link::{Link, StoreError},
    seal::Name,
};

/// Who looks.
pub(super) struct Looker<'a, S> {
    pub(super) shared: &'a Shared,
    pub(super) want: &'a Want,
    /// Whether it may exchange, should nothing be there.
    pub(super) may_ask: bool,
    pub(super) serves: S,
}

/// What came of a question to the store.
enum Seen {
    Token(Stored),
    /// Nothing; and nobody else is at it. Ours is the claim, where we may ask.
    Nothing(Option<Claim>),
    /// Another process is at it.
    Claimed,
}

impl<S: Fn(&Stored) -> bool> Looker<'_, S> {
    /// A look until then. One over a connection that turns out to be broken (the server ends what is idle,
    /// or was restarted) is made again where a new one is there in time.
    pub(super) async fn look(&self, until: Instant) -> Found {
        let health = &self.shared.0.health;
        for _ in 0..2 {
            let Some(session) = health.session(until).await else {
                return Found::Failed;
            };
            let left = until.saturating_duration_since(Instant::now());
            let seen = timeout_at(until, self.whole(&*session.link)).await;
            let seen = seen.unwrap_or(Err(StoreError::Slow));
            // One that began late, since it had to wait for a connection, says nothing about the store.
            if !matches!(seen, Err(StoreError::Slow)) || left >= self.shared.0.wait / 2 {
                health.looked(&session, &seen);
            }
            match seen {
                Ok(Seen::Token(stored)) => return Found::Token(stored),
                Ok(Seen::Nothing(claim)) => return Found::Nothing(claim),
                Ok(Seen::Claimed) => {
                    let waited = self.wait(&*session.link, until).await;
                    if let Err(error @ StoreError::Broken(_)) = &waited {
                        health.lost(&session, error);
                    }
                    return waited.unwrap_or(Found::Busy);
                }
                Err(StoreError::Broken(_)) => {}
                Err(_) => return Found::Failed,
            }
        }
        Found::Failed
    }

    /// All that is asked where nobody is waited for.
    async fn whole(&self, link: &dyn Link) -> Result<Seen, StoreError> {
        let complaints = &self.shared.0.complaints;
        let mut first = None;
        for name in self.shared.0.keys.names(&self.want.key) {
            match link.get(name.clone()).await {
                Ok(value) => {
                    if let Some(stored) = self.read(&name, value) {
                        return Ok(Seen::Token(stored));
                    }
                }
                Err(refusal) if refusal.is_refusal() => complaints.unread(&refusal),
                Err(error) => return Err(error),
            }
            first.get_or_insert(name);
        }
        match first {
            Some(name) if self.may_ask => self.claim(link, &name).await,
            Some(name) => self.peek(link, &name).await,
            None => Ok(Seen::Nothing(None)),
        }
    }

    /// Claims the exchange. Since the last look another may have ended its own, and taken its claim back
    /// after it had put the token there: so the store is read once more, after the claim and in the same
    /// round trip.
    async fn claim(&self, link: &dyn Link, name: &Name) -> Result<Seen, StoreError> {
        let claim = Claim::new(self.shared, name);
        let (claimed, value) = tokio::join!(
            biased;
            link.claim(claim.name().clone(), claim.stamp(), CLAIM),
            link.get(name.clone()),
        );
        let is_ours = match claimed {
            Ok(is_ours) => is_ours,
            Err(error) => {
                if error.is_refusal() {
                    self.shared
                        .0
                        .complaints
                        .written(&Err::<(), _>(error.clone()));
                    claim.goes_to_another();
                }
                return Err(error);
            }
        };
        let seen = match is_ours {
            true => Seen::Nothing(Some(claim)),
            false => {
                claim.goes_to_another();
                Seen::Claimed
            }
        };
        self.or(value, name, seen)
    }

    /// Whether another has claimed the exchange, and what there is.
    async fn peek(&self, link: &dyn Link, name: &Name) -> Result<Seen, StoreError> {
        let (claim, value) = tokio::join!(
            biased;
            link.get(name.claim()),
            link.get(name.clone()),
        );
        let seen = match claim {
            Ok(Some(_)) => Seen::Claimed,
            Ok(None) => Seen::Nothing(None),
            Err(error) => {
                if error.is_refusal() {
                    self.shared.0.complaints.unread(&error);
                }
                return Err(error);
            }
        };
        self.or(value, name, seen)
    }

    /// The token that is there, if one is.
    fn or(
        &self,
        value: Result<Option<Vec<u8>>, StoreError>,
        name: &Name,
        seen: Seen,
    ) -> Result<Seen, StoreError> {
        match value {
            Ok(value) => Ok(self.read(name, value).map_or(seen, Seen::Token)),
            // It has been complained of.
            Err(refusal) if refusal.is_refusal() => Ok(seen),
            Err(error) => Err(error),
        }
    }

    /// Waits for another process, until its token is there, it gives up, or the time is over. An answer that
    /// is late here says nothing about the store: little time was left.
    async fn wait(&self, link: &dyn Link, until: Instant) -> Result<Found, StoreError> {
        let names = &mut self.shared.0.keys.names(&self.want.key);
        let Some(name) = names.next() else {
            return Ok(Found::Nothing(None));
        };
        loop {
            let next = Instant::now() + POLL;
            if next >= until {
                return Ok(Found::Busy);
            }
            sleep_until(next).await;
            let seen = timeout_at(until, async {
                match self.peek(link, &name).await? {
                    // It has given up: now it is our turn, or a third one's.
                    Seen::Nothing(_) if self.may_ask => self.claim(link, &name).await,
                    seen => Ok(seen),
                }
            });
            match seen.await.unwrap_or(Err(StoreError::Slow))? {
                Seen::Token(stored) => return Ok(Found::Token(stored)),
                Seen::Nothing(claim) => return Ok(Found::Nothing(claim)),
                Seen::Claimed => {}
            }
        }
    }

    /// Opens what stands under a name. What does not open is not there.
    fn read(&self, name: &Name, value: Option<Vec<u8>>) -> Option<Stored> {
        let (value, inner) = (value?, &self.shared.0);
        let assertion = self.want.assertion.as_ref()?;
        let Some(mut stored) = inner.keys.open(name, assertion, &value) else {
            inner.complaints.unreadable(&"a value that does not open");
            return None;
        };
        inner.complaints.readable();
        // By the clock of whoever put it there. A token does not last longer here because that one is fast.
        stored.obtained = stored.obtained.min(inner.clock.now());
        let text = stored.response.access_token.expose();
        let refused = inner.refused.get(&hash(text.as_bytes()));
        (refused.is_none() && (self.serves)(&stored)).then_some(stored)
    }
}
