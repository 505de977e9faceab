//! Who is connected, and who goes when there are too many.
//!
//! Connections cost nothing to open, so a cap alone would let whoever opens many shut out all others. Here a newcomer is
//! always let in, and the one goes that has least to lose: first those that never got an answer (unfinished handshakes,
//! silent ones, slow writers), then those that have, longest idle first. One with a request in hand, wholly read and
//! not yet answered, never goes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// All connections of one server.
pub(crate) struct Crowd {
    most: usize,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    next: u64,
    by_number: HashMap<u64, Arc<Member>>,
}

/// One connection.
pub(crate) struct Member {
    /// Must it go, for another to come?
    pub gone: CancellationToken,
    /// It got an answer before.
    served: AtomicBool,
    /// Requests that have begun and are not answered yet.
    open: AtomicUsize,
    /// Those of them that are wholly read.
    in_hand: AtomicUsize,
    /// When it connected, or a request began or was answered.
    active: Mutex<Instant>,
}

/// A connection's place in the crowd, for as long as this lives.
pub(crate) struct Seat {
    crowd: Arc<Crowd>,
    number: u64,
    pub member: Arc<Member>,
}

impl Crowd {
    /// At most so many.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            members: Mutex::default(),
        })
    }

    /// How many there may be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// A place for a newcomer; `None` when each of the others has a request in hand.
    pub fn join(self: &Arc<Self>) -> Option<Seat> {
        let mut members = lock(&self.members);
        if members.by_number.len() >= self.most {
            let least = members
                .by_number
                .iter()
                .filter(|(_, member)| member.in_hand.load(Ordering::SeqCst) == 0)
                .min_by_key(|(_, member)| (member.served.load(Ordering::Relaxed), *lock(&member.active)))
                .map(|(number, _)| *number)?;
            if let Some(member) = members.by_number.remove(&least) {
                member.gone.cancel();
            }
        }
        members.next += 1;
        let (number, member) = (members.next, Arc::new(Member::new()));
        members.by_number.insert(number, member.clone());
        Some(Seat {
            crowd: self.clone(),
            number,
            member,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.crowd.members).by_number.remove(&self.number);
    }
}

impl Member {
    fn new() -> Self {
        Self {
            gone: CancellationToken::new(),
            served: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            in_hand: AtomicUsize::new(0),
            active: Mutex::new(Instant::now()),
        }
    }

    /// A request has begun.
    pub fn begin(self: &Arc<Self>) -> Arc<Request> {
        *lock(&self.active) = Instant::now();
        self.open.fetch_add(1, Ordering::SeqCst);
        Arc::new(Request {
            member: self.clone(),
            whole: AtomicBool::new(false),
        })
    }

    /// Returns when no request was open for so long.
    pub async fn idle(&self, limit: Duration) {
        loop {
            let left = limit.saturating_sub(lock(&self.active).elapsed());
            let wait = match (self.open.load(Ordering::SeqCst), left) {
                (0, Duration::ZERO) => return,
                (0, left) => left,
                _ => limit,
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// A request, until it is answered or given up.
pub(crate) struct Request {
    member: Arc<Member>,
    whole: AtomicBool,
}

impl Request {
    /// All of it has come.
    pub fn is_whole(&self) {
        if !self.whole.swap(true, Ordering::SeqCst) {
            self.member.in_hand.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// There is an answer to it.
    pub fn is_answered(&self) {
        self.member.served.store(true, Ordering::Relaxed);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        *lock(&self.member.active) = Instant::now();
        self.member.open.fetch_sub(1, Ordering::SeqCst);
        if *self.whole.get_mut() {
            self.member.in_hand.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(seat: &Seat) {
        seat.member.begin().is_answered();
    }

    #[test]
    fn who_has_least_to_lose_goes_first() {
        let crowd = Crowd::new(4);
        let [old, new, silent, working] = [0; 4].map(|_| crowd.join().unwrap());
        let request = working.member.begin();
        request.is_whole();
        served(&old);
        served(&new);
        let gone = |seat: &Seat| seat.member.gone.is_cancelled();
        let _e = crowd.join().unwrap();
        assert!(gone(&silent) && !gone(&old));
        served(&_e);
        let _f = crowd.join().unwrap();
        assert!(gone(&old) && !gone(&new), "the longest idle one");
        served(&_f);
        let (_g, _h) = (crowd.join().unwrap(), crowd.join().unwrap());
        assert!(
            gone(&new) && gone(&_g),
            "a newcomer that has shown nothing goes before those that were served"
        );
        assert!(!gone(&working));
    }

    #[test]
    fn when_all_have_a_request_in_hand_nobody_comes() {
        let crowd = Crowd::new(1);
        let seat = crowd.join().unwrap();
        let request = seat.member.begin();
        request.is_whole();
        request.is_whole();
        assert!(crowd.join().is_none());
        drop(request);
        assert!(crowd.join().is_some() && seat.member.gone.is_cancelled());
    }

    #[test]
    fn who_leaves_makes_room() {
        let crowd = Crowd::new(1);
        drop(crowd.join().unwrap());
        let seat = crowd.join().unwrap();
        assert!(!seat.member.gone.is_cancelled() && lock(&crowd.members).by_number.len() == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_is_without_requests() {
        let member = Arc::new(Member::new());
        let request = member.begin();
        let limit = Duration::from_millis(20);
        let idle = tokio::time::timeout(Duration::from_secs(1), member.idle(limit));
        assert!(idle.await.is_err());
        drop(request);
        std::thread::sleep(limit);
        member.idle(limit).await;
    }
}
