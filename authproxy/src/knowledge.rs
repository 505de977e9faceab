//! Whom to trust, as far as it is known now.
//!
//! ```text
//! watches ──▶ Objects ──decide──▶ Trust, numbered ──▶ current(): requests
//!    └──────▶ when the last word came ──────────────▶ nobody, when that is too long ago
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use kube::ResourceExt;
use kube::core::ObjectMeta;
use multicluster_api::{ClusterSource, Source, TrustedIdentityProvider};
use multicluster_trust::{Trust, decide};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// Trust, and which one it is: what was derived from one number may be kept as long as the number stays.
#[derive(Debug, Default)]
pub struct Known {
    /// Whom to trust.
    pub trust: Trust,
    /// Grows with each change. 0: nothing is known yet.
    pub version: u64,
}

/// Whom to trust, as far as it is known now.
pub struct Knowledge {
    known: ArcSwap<Known>,
    changes: watch::Sender<u64>,
    objects: Mutex<Objects>,
    /// When each of the watches last showed that it misses nothing, in milliseconds since the beginning; 0: never.
    heard: [AtomicU64; 3],
    began: Instant,
    stale_after: Duration,
}

/// The objects that trust depends on, by namespace and name.
#[derive(Default)]
pub struct Objects {
    providers: HashMap<String, TrustedIdentityProvider>,
    sources: HashMap<String, Source>,
    cluster_sources: HashMap<String, ClusterSource>,
}

/// What a watch says of its objects.
#[derive(Debug)]
pub enum Change<K> {
    /// These, and no others, are there.
    Listed(Vec<K>),
    /// It is there, as it is now.
    Set(K),
    /// It is gone.
    Gone(K),
    /// Nothing has changed until now.
    Quiet,
}

/// A kind that trust depends on.
pub trait Basis: ResourceExt + Clone {
    /// Which of the watches.
    const WATCH: usize;
    /// Does anything but its status differ?
    fn says_the_same(&self, other: &Self) -> bool;
    /// Its place.
    fn place(objects: &mut Objects) -> &mut HashMap<String, Self>;
}

fn same_object(one: &ObjectMeta, other: &ObjectMeta) -> bool {
    one.uid == other.uid && one.deletion_timestamp == other.deletion_timestamp
}

impl Basis for TrustedIdentityProvider {
    const WATCH: usize = 0;
    fn says_the_same(&self, other: &Self) -> bool {
        self.spec == other.spec && same_object(&self.metadata, &other.metadata)
    }
    fn place(objects: &mut Objects) -> &mut HashMap<String, Self> {
        &mut objects.providers
    }
}

impl Basis for Source {
    const WATCH: usize = 1;
    fn says_the_same(&self, other: &Self) -> bool {
        self.spec == other.spec && same_object(&self.metadata, &other.metadata)
    }
    fn place(objects: &mut Objects) -> &mut HashMap<String, Self> {
        &mut objects.sources
    }
}

impl Basis for ClusterSource {
    const WATCH: usize = 2;
    fn says_the_same(&self, other: &Self) -> bool {
        self.spec == other.spec && same_object(&self.metadata, &other.metadata)
    }
    fn place(objects: &mut Objects) -> &mut HashMap<String, Self> {
        &mut objects.cluster_sources
    }
}

impl Knowledge {
    /// Nothing is known yet; what is known counts for so long.
    pub fn new(stale_after: Duration) -> Self {
        Self {
            known: ArcSwap::default(),
            changes: watch::Sender::new(0),
            objects: Mutex::default(),
            heard: Default::default(),
            began: Instant::now(),
            stale_after,
        }
    }

    /// Take in what a watch says.
    pub fn heard<K: Basis>(&self, change: Change<K>) {
        let key = |object: &K| format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        let changed = {
            let mut objects = self.objects.lock();
            let place = K::place(&mut objects);
            match change {
                Change::Listed(all) => {
                    *place = all.into_iter().map(|object| (key(&object), object)).collect();
                    true
                }
                Change::Set(object) => match place.insert(key(&object), object.clone()) {
                    // Most are: agents write statuses.
                    Some(before) => !before.says_the_same(&object),
                    None => true,
                },
                Change::Gone(object) => place.remove(&key(&object)).is_some(),
                Change::Quiet => false,
            }
        };
        if changed {
            self.decide();
        }
        // Not before it counts.
        let now = self.began.elapsed().as_millis() as u64;
        self.heard[K::WATCH].store(now.max(1), Ordering::Release);
    }

    /// Each change is decided on at once: nobody may go on for as long as others' changes come in.
    fn decide(&self) {
        let objects = self.objects.lock();
        let trust = decide::decide(
            objects.providers.values(),
            objects.sources.values(),
            objects.cluster_sources.values(),
        );
        let before = self.known.load();
        if before.version == 0 || before.trust.providers != trust.providers {
            let version = before.version + 1;
            self.known.store(Arc::new(Known { trust, version }));
            self.changes.send_replace(version);
        }
    }

    /// Whom to trust; `None` while that is not known.
    pub fn current(&self) -> Option<Arc<Known>> {
        (self.silence()? < self.stale_after).then(|| self.known.load_full())
    }

    /// Whom to trust, known or not: for what is not about letting somebody in.
    pub fn last(&self) -> Arc<Known> {
        self.known.load_full()
    }

    /// How long ago the last word came; `None` before the first one.
    pub fn silence(&self) -> Option<Duration> {
        let oldest = self.heard.iter().map(|heard| heard.load(Ordering::Acquire)).min()?;
        let silence = || self.began.elapsed().saturating_sub(Duration::from_millis(oldest));
        (oldest > 0).then(silence)
    }

    /// Tells of changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// For a probe.
    pub fn check(&self) -> Result<(), String> {
        match self.silence() {
            None => Err("not all of TrustedIdentityProviders, Sources and ClusterSources are listed yet".into()),
            Some(silence) if silence >= self.stale_after => {
                Err(format!("the API server was silent for {:.1} s", silence.as_secs_f64()))
            }
            Some(_) => Ok(()),
        }
    }
}
