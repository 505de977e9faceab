//! The statuses that were applied, so that nothing is written twice.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::{Client, Error};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::apply::{self, Applied, Place};
use super::controller::Work;
use super::status::Shown;
use crate::source::following::object::{Kind, ObjectKey};

/// One status.
#[derive(Clone, Debug)]
struct Written {
    place: Place,
    /// What was wanted, and when; `None` when an earlier agent wrote it.
    wanted: Option<(Option<Value>, Instant)>,
    /// Somebody else's, in the API server's words.
    theirs: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// A write was made.
    pub written: bool,
    /// The status is somebody else's, in the API server's words.
    pub theirs: Option<String>,
}

/// All statuses that are ours, or should be.
pub struct Statuses {
    client: Client,
    recheck: Duration,
    all: Mutex<BTreeMap<Work, Written>>,
}

impl Statuses {
    /// None yet. What was applied is applied again after `recheck`.
    pub fn new(client: Client, recheck: Duration) -> Self {
        Self {
            client,
            recheck,
            all: Mutex::default(),
        }
    }

    /// An earlier agent has written here.
    pub fn found(&self, shown: Shown, place: Place) -> Work {
        let key = |kind| Work::Object(ObjectKey::new(kind, &place.namespace, &place.name));
        let work = match shown {
            Shown::Ingress => key(Kind::Ingress),
            Shown::Service => key(Kind::Service),
            Shown::Gateway => Work::Gateway(place.namespace.clone(), place.name.clone()),
        };
        let written = Written {
            place,
            wanted: None,
            theirs: None,
        };
        self.all.lock().entry(work.clone()).or_insert(written);
        work
    }

    /// Where the status was written, if it was.
    pub fn place(&self, work: &Work) -> Option<Place> {
        self.all.lock().get(work).map(|written| written.place.clone())
    }

    /// Have this status there, or nothing of ours.
    pub async fn keep(&self, work: &Work, shown: Shown, place: Place, wanted: Option<Value>) -> Result<Kept, Error> {
        let known = self
            .all
            .lock()
            .get(work)
            .filter(|written| written.place == place)
            .cloned();
        match &known {
            None if wanted.is_none() => return Ok(Kept::default()),
            Some(written) if self.lasts(written, &wanted) => {
                return Ok(Kept {
                    written: false,
                    theirs: written.theirs.clone(),
                });
            }
            _ => {}
        }
        let theirs = match apply::apply(&self.client, shown, &place, wanted.as_ref()).await? {
            Applied::Done if wanted.is_some() => None,
            Applied::Theirs(message) => Some(message),
            Applied::Done | Applied::Gone => {
                self.all.lock().remove(work);
                return Ok(Kept {
                    written: true,
                    theirs: None,
                });
            }
        };
        let written = Written {
            place,
            wanted: Some((wanted, Instant::now())),
            theirs: theirs.clone(),
        };
        self.all.lock().insert(work.clone(), written);
        Ok(Kept { written: true, theirs })
    }

    fn lasts(&self, written: &Written, wanted: &Option<Value>) -> bool {
        let fresh = |(before, at): &(Option<Value>, Instant)| before == wanted && at.elapsed() < self.recheck;
        written.wanted.as_ref().is_some_and(fresh)
    }
}
