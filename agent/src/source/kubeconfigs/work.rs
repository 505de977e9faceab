//! The work for one Kubeconfig: decide, have it done, and say how it went.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use multicluster_api::{Kubeconfig, names};
use multicluster_trust::kubeconfig_spec::Wanted;
use tokio::time::Instant;

use super::certificate::Key;
use super::content;
use super::controller::{Kubeconfigs, until};
use super::decide::{Facts, Purpose, Step, TELL, decide, next_look, pause};
use super::held::{Held, Issued, Version};
use super::problem::{API_ERROR, Problem};
use super::secret;
use super::status::{self, Report};

/// How often a problem that lasts is told again.
const TELL_AGAIN: Duration = Duration::from_secs(1800);
/// A call may fail now and then; people hear of it after so many attempts.
const TELL_ERRORS: u32 = 3;
/// Pause before a look at what cannot be watched: whether a Secret that is somebody else's is still there.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// More steps at a time than there are make no sense.
const STEPS: usize = 5;

/// What is remembered of a Kubeconfig between two looks.
#[derive(Default)]
pub(super) struct State {
    /// UID of the Kubeconfig: one that was made again begins anew.
    pub(super) uid: String,
    pub(super) pending: Option<Pending>,
    failed: Option<Failed>,
    /// Requests made so far.
    pub(super) attempts: u32,
    /// The problem that was told last, and when.
    told: Option<(&'static str, Instant)>,
}

/// A request that is under way.
pub(super) struct Pending {
    pub name: String,
    pub key: Key,
    pub purpose: Purpose,
    pub since: Instant,
    pub waits_for: Option<Problem>,
}

struct Failed {
    purpose: Purpose,
    problem: Problem,
    times: u32,
    until: Instant,
}

/// How it went.
struct Seen {
    wanted: Option<Wanted>,
    issued: Option<Issued>,
    problem: Option<Problem>,
    /// When to look again.
    next: Duration,
}

impl Kubeconfigs {
    /// Do what is to be done now. Returns when to look again.
    pub(super) async fn work(&self, object: &Kubeconfig, state: &mut State) -> Duration {
        let uid = object.uid().unwrap_or_default();
        if state.uid != uid {
            self.drop_request(state).await;
            *state = State {
                uid,
                ..Default::default()
            };
        }
        let seen = match Wanted::read(&object.namespace().unwrap_or_default(), &object.spec) {
            Ok(wanted) => self.provide(object, wanted, state).await,
            Err(invalid) => {
                self.drop_request(state).await;
                Seen {
                    wanted: None,
                    issued: None,
                    problem: Some(Problem::new("InvalidSpec", invalid.to_string())),
                    next: Duration::MAX,
                }
            }
        };
        self.tell(object, state, seen.problem.as_ref());
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let expires = seen.issued.as_ref().map(|issued| issued.expires);
        self.metrics.kubeconfig_expires(&namespace, &name, expires);
        let status = status::status(
            object,
            &Report {
                identity: seen.wanted.as_ref().map(|wanted| &wanted.identity),
                issued: seen.issued.as_ref(),
                problem: seen.problem.as_ref(),
                now: Timestamp::now(),
            },
        );
        match status::write(&self.client, object, &status).await {
            Ok(()) => seen.next,
            Err(error) => {
                tracing::warn!(namespace, name, %error, "status of a Kubeconfig");
                seen.next.min(pause(1))
            }
        }
    }

    async fn provide(&self, object: &Kubeconfig, wanted: Wanted, state: &mut State) -> Seen {
        let name = object.name_any();
        let purpose = Purpose {
            wanted: content::purpose(&name, &wanted),
            renew: object.annotations().get(names::RENEW).cloned(),
        };
        state.failed.take_if(|failed| failed.purpose != purpose);
        let mut held = match secret::read(&self.client, object, &wanted.secret_name).await {
            Ok(held) => held,
            Err(problem) => {
                self.failed(object, state, &purpose, problem);
                Held::Missing
            }
        };
        let mut next = Duration::ZERO;
        for _ in 0..STEPS {
            let step = decide(&Facts {
                uid: &state.uid,
                purpose: &purpose,
                held: &held,
                pending: state
                    .pending
                    .as_ref()
                    .map(|pending| (&pending.purpose, pending.since.elapsed())),
                failed: state
                    .failed
                    .as_ref()
                    .map(|failed| (&failed.purpose, failed.until.saturating_duration_since(Instant::now()))),
                now: Timestamp::now(),
            });
            let credentials = match step {
                Step::Rest(renewal) => {
                    state.failed = None;
                    self.delete_former(object).await;
                    next = until(renewal, Timestamp::now());
                    break;
                }
                Step::Wait(pause) => {
                    next = pause;
                    break;
                }
                Step::Taken => {
                    next = LOOK_AGAIN;
                    break;
                }
                Step::Drop => {
                    self.drop_request(state).await;
                    continue;
                }
                Step::GiveUp => {
                    let waited_for = state.pending.as_mut().and_then(|pending| pending.waits_for.take());
                    let problem = waited_for.unwrap_or_else(|| Problem::new("NotIssued", "no certificate came"));
                    Err(problem)
                }
                Step::Look => match self.look_at(state, &wanted).await {
                    None => {
                        next = state
                            .pending
                            .as_ref()
                            .map(|p| next_look(p.since.elapsed()))
                            .unwrap_or_default();
                        break;
                    }
                    Some(result) => result,
                },
                Step::Issue => match self.ask(object, &wanted, &purpose, state).await {
                    Ok(None) => {
                        next = next_look(Duration::ZERO);
                        break;
                    }
                    Ok(Some(credentials)) => Ok(credentials),
                    Err(problem) => Err(problem),
                },
            };
            let stored = match credentials {
                Ok(credentials) => self.store(object, &wanted, &purpose, &held, credentials).await,
                Err(problem) => Err(problem),
            };
            self.drop_request(state).await;
            match stored {
                Ok(issued) => {
                    held = Held::Ours {
                        version: Version::default(),
                        issued: Some(issued),
                    }
                }
                Err(problem) => self.failed(object, state, &purpose, problem),
            }
        }
        let waits = state.pending.as_ref().filter(|pending| pending.since.elapsed() >= TELL);
        let waits = waits.and_then(|pending| pending.waits_for.clone());
        let taken = match &held {
            Held::Foreign(why) => Some(Problem::taken(&wanted.secret_name, why)),
            Held::Missing | Held::Ours { .. } => None,
        };
        let failed = state.failed.as_ref().map(|failed| failed.problem.clone());
        let issued = held.issued().filter(|issued| issued.wanted == purpose.wanted).cloned();
        // Nobody renews what has expired meanwhile: that should be said in time.
        let end = issued.as_ref().map(|issued| until(issued.expires, Timestamp::now()));
        let end = end.filter(|end| !end.is_zero()).unwrap_or(Duration::MAX);
        Seen {
            wanted: Some(wanted),
            issued,
            problem: taken.or(waits).or(failed),
            next: next.min(end),
        }
    }

    fn failed(&self, object: &Kubeconfig, state: &mut State, purpose: &Purpose, problem: Problem) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let Problem { reason, message } = &problem;
        tracing::warn!(namespace, name, reason, message, "no credentials for a Kubeconfig");
        self.metrics.kubeconfig_failed(reason);
        let times = state.failed.as_ref().map_or(0, |failed| failed.times) + 1;
        state.failed = Some(Failed {
            purpose: purpose.clone(),
            problem,
            times,
            until: Instant::now() + pause(times),
        });
    }

    /// An event for what is new, or lasts.
    fn tell(&self, object: &Kubeconfig, state: &mut State, problem: Option<&Problem>) {
        let Some(Problem { reason, message }) = problem else {
            // Not yet, perhaps: an attempt is under way.
            if state.pending.is_none() {
                state.told = None;
            }
            return;
        };
        let times = state.failed.as_ref().map_or(TELL_ERRORS, |failed| failed.times);
        let passing = *reason == API_ERROR && times < TELL_ERRORS;
        let known = |(told, at): &(&str, Instant)| told == reason && at.elapsed() < TELL_AGAIN;
        if passing || state.told.as_ref().is_some_and(known) {
            return;
        }
        state.told = Some((reason, Instant::now()));
        let note = format!("{reason}: {message}");
        self.events
            .warning(object.object_ref(&()), "IssuingFailed", "Issue", note);
    }
}
