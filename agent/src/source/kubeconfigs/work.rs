//! The work for one Kubeconfig: decide, act, and say how it went.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use multicluster_api::{Kubeconfig, names};
use multicluster_trust::kubeconfig_spec::{Proof, Wanted};
use tokio::time::Instant;

use super::certificate::Key;
use super::content::{self, Credentials};
use super::controller::{Kubeconfigs, until};
use super::decide::{Facts, Purpose, Step, TELL, decide, next_look, pause};
use super::held::{Held, Issued, Version};
use super::problem::{API_ERROR, Problem};
use super::request::{Progress, progress};
use super::status::{self, Report};
use super::{secret, token};

/// How often a problem that lasts is told again.
const TELL_AGAIN: Duration = Duration::from_secs(1800);
/// A call may fail now and then; people hear of it after so many attempts.
const TELL_ERRORS: u32 = 3;
/// Pause before a look at what cannot be watched: whether a Secret that is somebody else's is still there.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// More steps at a time than there are make no sense.
const STEPS: usize = 5;

/// What is remembered of a Kubeconfig between two looks.
#[derive(Default)]
pub(super) struct State {
    /// UID of the Kubeconfig: one that was made again begins anew.
    uid: String,
    pending: Option<Pending>,
    failed: Option<Failed>,
    /// Requests made so far.
    attempts: u32,
    /// The problem that was told last, and when.
    told: Option<(&'static str, Instant)>,
}

/// A request that is under way.
struct Pending {
    name: String,
    key: Key,
    purpose: Purpose,
    since: Instant,
    waits_for: Option<Problem>,
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

    /// Ask for credentials: a token comes at once, a certificate later.
    async fn ask(
        &self,
        object: &Kubeconfig,
        wanted: &Wanted,
        purpose: &Purpose,
        state: &mut State,
    ) -> Result<Option<Credentials>, Problem> {
        let namespace = object.namespace().unwrap_or_default();
        match &wanted.proof {
            Proof::Token {
                service_account,
                audience,
                lifetime,
            } => {
                let now = Timestamp::now();
                let token = token::issue(&self.client, &namespace, service_account, audience, *lifetime, now);
                Ok(Some(token.await?))
            }
            Proof::Certificate { lifetime } => {
                let key = Key::generate()?;
                let csr = key.request(&wanted.identity)?;
                state.attempts += 1;
                let name = format!("kubeconfig-{}-{}", state.uid, state.attempts);
                let of = format!("{namespace}/{}", object.name_any());
                self.in_use.lock().insert(name.clone());
                let asked = self.requests.create(&name, (&of, &state.uid), csr, *lifetime).await;
                if asked.is_err() {
                    self.in_use.lock().remove(&name);
                }
                asked?;
                state.pending = Some(Pending {
                    name,
                    key,
                    purpose: purpose.clone(),
                    since: Instant::now(),
                    waits_for: None,
                });
                Ok(None)
            }
        }
    }

    /// See how the request is; `None` while nothing is known.
    async fn look_at(&self, state: &mut State, wanted: &Wanted) -> Option<Result<Credentials, Problem>> {
        let pending = state.pending.as_mut()?;
        let request = match self.requests.get(&pending.name).await {
            Ok(Some(request)) => request,
            Ok(None) => {
                let message = "somebody has deleted the certificate request";
                return Some(Err(Problem::new("RequestDeleted", message)));
            }
            // It is there still; the next look may be answered.
            Err(problem) => {
                pending.waits_for = Some(problem);
                return None;
            }
        };
        match progress(request.status.as_ref(), &wanted.identity.to_string()) {
            Progress::Pending(problem) => {
                pending.waits_for = Some(problem);
                None
            }
            Progress::Failed(problem) => Some(Err(problem)),
            Progress::Issued => {
                let status = request.status.unwrap_or_default();
                let chain = status.certificate.unwrap_or_default().0;
                let authority = status.ca.as_ref().map(|ca| ca.0.as_slice());
                Some(
                    pending
                        .key
                        .accept(&chain, authority, &wanted.identity, Timestamp::now()),
                )
            }
        }
    }

    async fn store(
        &self,
        object: &Kubeconfig,
        wanted: &Wanted,
        purpose: &Purpose,
        held: &Held,
        credentials: Credentials,
    ) -> Result<Issued, Problem> {
        let content = content::kubeconfig(&object.name_any(), wanted, &credentials.proof)?;
        let issued = Issued {
            wanted: purpose.wanted.clone(),
            renew: purpose.renew.clone(),
            at: Timestamp::now(),
            expires: credentials.expires,
        };
        secret::write(
            &self.client,
            object,
            &wanted.secret_name,
            held.clone(),
            &content,
            &issued,
        )
        .await?;
        let reason = match held {
            Held::Missing => "Issued",
            Held::Ours { .. } | Held::Foreign(_) => "Renewed",
        };
        let (kind, expires) = (credentials.proof.kind(), issued.expires);
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        tracing::info!(namespace, name, identity = %wanted.identity, kind, %expires, "issued");
        self.metrics.kubeconfig_issued(kind);
        let note = format!(
            "Secret {} has a {kind} of {}, good until {}",
            wanted.secret_name,
            wanted.identity,
            expires.strftime("%FT%TZ")
        );
        self.events.normal(object.object_ref(&()), reason, "Issue", note);
        Ok(issued)
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

    /// Nobody waits for the request any more, if there is one.
    pub(super) async fn drop_request(&self, state: &mut State) {
        if let Some(pending) = state.pending.take() {
            self.requests.delete(&pending.name).await;
            self.in_use.lock().remove(&pending.name);
        }
    }

    /// Delete what was written under a former `spec.secretName`.
    async fn delete_former(&self, object: &Kubeconfig) {
        let namespace = object.namespace().unwrap_or_default();
        for (name, version) in self.former(object) {
            if let Err(error) = secret::delete(&self.client, &namespace, &name, &version).await {
                tracing::warn!(namespace, name, %error, "deleting a Kubeconfig's former Secret");
            }
        }
    }
}
