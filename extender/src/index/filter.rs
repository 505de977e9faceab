//! Which nodes may take a pod.

use std::time::Instant;

use super::target::TargetState;
use super::{Index, Kind, State, Verdict, verdict};
use crate::core::misfit::Misfit;
use crate::core::pod::{Proxy, SourcePod};

/// A node that kube-scheduler asks about.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The node's name.
    pub name: &'a str,
    /// It has the label of virtual nodes; only known when kube-scheduler sends whole nodes.
    pub labelled_virtual: bool,
}

/// A target that may already be running the pod, or about to.
struct Holder<'a> {
    node: &'a str,
    heard_of: bool,
}

impl Index {
    /// A verdict for each candidate, in their order.
    pub fn filter(&self, pod: &SourcePod, candidates: &[Candidate<'_>], now: Instant) -> Vec<Verdict> {
        let state = self.state.read();
        let Some(proxy) = &pod.proxy else {
            let ordinary = |candidate: &Candidate<'_>| match state.is_virtual(candidate) {
                true => self.refuse(Kind::NotElected, verdict::NOT_ELECTED),
                false => Verdict::Pass,
            };
            return candidates.iter().map(ordinary).collect();
        };
        if self.admits_in(&state, &pod.namespace, &pod.uid).is_err() {
            self.counts.refused(Kind::NamespaceNotServed, candidates.len());
            return vec![verdict::NAMESPACE_NOT_SERVED; candidates.len()];
        }
        let holders = self.holders(&state, pod, proxy, now);
        let judge = |candidate: &Candidate<'_>| self.judge(&state, pod, proxy, candidate, now);
        let mut verdicts: Vec<_> = candidates.iter().map(judge).collect();
        let elsewhere = keep_to_holders(&mut verdicts, candidates, &holders, proxy);
        self.counts.refused(Kind::RunsElsewhere, elsewhere);
        self.leave_out_failed(&state, &mut verdicts, candidates, pod, now);
        for (candidate, verdict) in candidates.iter().zip(&verdicts) {
            match state.targets.get(candidate.name) {
                Some(target) if *verdict != Verdict::Pass => target.refuse(),
                None => self.remember_stranger(candidate.name),
                Some(_) => {}
            }
        }
        verdicts
    }

    /// Targets where the pod has a delegate; for a unique one also that where it was tried last, as long as nobody can
    /// tell whether it has one there.
    fn holders<'a>(&self, state: &'a State, pod: &SourcePod, proxy: &'a Proxy, now: Instant) -> Vec<Holder<'a>> {
        let mut holders = state.holders(pod, self.policy.stale_after, now);
        let tried = proxy.attempted_in.as_deref();
        if let Some(node) = tried.filter(|node| !holders.iter().any(|holder| holder.node == *node)) {
            let unclear = match state.targets.get(node) {
                Some(target) => target.available(self.policy.stale_after, now).is_err(),
                None => !self.are_all_known(),
            };
            if unclear {
                let heard_of = false;
                holders.push(Holder { node, heard_of });
            }
        }
        holders
    }

    fn refuse(&self, kind: Kind, verdict: Verdict) -> Verdict {
        self.counts.refused(kind, 1);
        verdict
    }

    /// Everything but the pod's own history.
    fn judge(&self, state: &State, pod: &SourcePod, proxy: &Proxy, candidate: &Candidate<'_>, now: Instant) -> Verdict {
        let Some(target) = state.targets.get(candidate.name) else {
            return self.refuse(Kind::UnknownTarget, verdict::STRANGER);
        };
        if !target.target.serves(&pod.namespace) {
            return self.refuse(Kind::OtherNamespace, verdict::OTHER_NAMESPACE);
        }
        if let Err(reason) = target.available(self.policy.stale_after, now) {
            return self.refuse(Kind::Unavailable, reason.into());
        }
        // A delegate that is there already has its place, or waits for one in the target's own queue.
        if target.live_attempt(&pod.uid, &pod.namespace) {
            return Verdict::Pass;
        }
        match target.fits(&proxy.wanted) {
            Ok(()) => Verdict::Pass,
            Err(misfit @ (Misfit::Short(_) | Misfit::TooLarge(_))) => self.refuse(Kind::NoRoom, misfit.into()),
            Err(misfit) => self.refuse(Kind::Constraints, misfit.into()),
        }
    }

    /// Where the pod failed lately it need not be tried again, unless it failed everywhere: then it starts over.
    fn leave_out_failed(
        &self,
        state: &State,
        verdicts: &mut [Verdict],
        candidates: &[Candidate<'_>],
        pod: &SourcePod,
        now: Instant,
    ) {
        let Some(failures) = self.failures.of(&pod.uid) else {
            return;
        };
        let reason = |candidate: &Candidate<'_>| {
            let target: &TargetState = state.targets.get(candidate.name)?;
            failures.reason(&target.target, now)
        };
        let feasible = || {
            verdicts
                .iter()
                .zip(candidates)
                .filter(|(verdict, _)| **verdict == Verdict::Pass)
        };
        if feasible().all(|(_, candidate)| reason(candidate).is_some()) {
            if feasible().next().is_some() {
                self.failures.forget(&pod.uid);
            }
            return;
        }
        for (verdict, candidate) in verdicts.iter_mut().zip(candidates) {
            if *verdict == Verdict::Pass
                && let Some(reason) = reason(candidate)
            {
                self.counts.refused(Kind::FailedLately, 1);
                *verdict = Verdict::Failed(format!("didn't schedule there lately: {reason}").into());
            }
        }
    }
}

/// While a delegate may run in a target, or come to run there, its pod goes nowhere else. Returns how many nodes that
/// leaves out.
fn keep_to_holders(
    verdicts: &mut [Verdict],
    candidates: &[Candidate<'_>],
    holders: &[Holder<'_>],
    proxy: &Proxy,
) -> usize {
    let is_holder = |name: &str| holders.iter().any(|holder| holder.node == name);
    let held = verdicts
        .iter()
        .zip(candidates)
        .any(|(verdict, c)| *verdict == Verdict::Pass && is_holder(c.name));
    let unreachable = holders.iter().find(|holder| !holder.heard_of).filter(|_| proxy.unique);
    let reason = match unreachable {
        _ if held => "the pod has a delegate in another target".to_owned(),
        Some(holder) => format!("the pod may still run in {}, which is unreachable", holder.node),
        None => return 0,
    };
    let mut left_out = 0;
    for (verdict, candidate) in verdicts.iter_mut().zip(candidates) {
        if *verdict == Verdict::Pass && !is_holder(candidate.name) {
            *verdict = Verdict::Failed(reason.clone().into());
            left_out += 1;
        }
    }
    left_out
}

impl State {
    pub(super) fn is_virtual(&self, candidate: &Candidate<'_>) -> bool {
        candidate.labelled_virtual || self.targets.contains_key(candidate.name)
    }

    fn holders(&self, pod: &SourcePod, stale_after: std::time::Duration, now: Instant) -> Vec<Holder<'_>> {
        let live = |target: &&TargetState| target.is_unsure(&pod.uid) || target.live_attempt(&pod.uid, &pod.namespace);
        let targets = self.targets.iter().filter(|(_, target)| live(target));
        targets
            .map(|(node, target)| Holder {
                node,
                heard_of: target.heard_of(stale_after, now).is_ok() && !target.is_unsure(&pod.uid),
            })
            .collect()
    }
}
