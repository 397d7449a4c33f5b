//! A lock that its owner can tell from another's.

use std::time::Duration;

use uuid::Uuid;

use super::{Kind, Shared, StoreError};

/// Takes a lock away where it is still its owner's: it may be over by then, and somebody else's.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// One owner's claim to a lock, whether it was granted or not.
#[derive(Debug)]
pub(crate) struct Lock {
    name: String,
    owner: String,
}

impl Shared {
    /// A claim of a new owner. Nothing is asked for yet.
    pub(crate) fn lock(&self, kind: Kind, name: &str) -> Lock {
        Lock {
            name: self.seal.name(kind.word(), name),
            owner: Uuid::new_v4().to_string(),
        }
    }

    /// Takes the lock for so long where nobody has it; whether it is the owner's now.
    pub(crate) async fn take(&self, lock: &Lock, life: Duration) -> Result<bool, StoreError> {
        let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        let mut command = redis::cmd("SET");
        command.arg(&lock.name).arg(&lock.owner);
        command.arg("PX").arg(life).arg("NX");
        if self.run::<Option<String>>(&command).await?.is_some() {
            return Ok(true);
        }
        // What is sent again after a connection broke finds what it did the first time.
        let mut command = redis::cmd("GET");
        command.arg(&lock.name);
        let owner = self.run::<Option<String>>(&command).await;
        Ok(owner.is_ok_and(|owner| owner.as_deref() == Some(&lock.owner)))
    }

    /// Gives the lock back; another's is left alone.
    pub(crate) async fn release(&self, lock: &Lock) -> Result<(), StoreError> {
        let mut command = redis::cmd("EVAL");
        command.arg(RELEASE).arg(1).arg(&lock.name).arg(&lock.owner);
        self.run::<u64>(&command).await.map(|_| ())
    }
}
