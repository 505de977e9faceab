//! Whole objects of the source, asked for when they are to be written: once for all targets that need them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::{Client, Error};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::object::ObjectKey;
use super::raw;
use crate::api_error;

/// How long an answer is kept: targets that need the object ask for it at about the same time.
const KEEP: Duration = Duration::from_secs(3);
/// Answers that are kept at most. An object may be a MiB large.
const MOST: usize = 48;

/// `None`: there is no such object.
type Answer = Option<Arc<Value>>;

/// Answers of the last moments, and questions under way.
#[derive(Debug, Default)]
pub struct Fetched(Mutex<HashMap<ObjectKey, Slot>>);

#[derive(Clone, Debug)]
struct Slot {
    /// When it was asked first: the answer is not older.
    asked: Instant,
    answer: Arc<OnceCell<Answer>>,
}

impl Fetched {
    /// The object as it was at `not_before`, or later.
    pub async fn get(&self, client: &Client, key: &ObjectKey, not_before: Instant) -> Result<Answer, Error> {
        let slot = self.slot(key, not_before);
        let ask = || async {
            match raw::get(client, key).await {
                Ok(object) => Ok(Some(Arc::new(object))),
                // Of a kind that does not exist there is no object either.
                Err(error) if api_error::is_not_found(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        slot.answer.get_or_try_init(ask).await.cloned()
    }

    fn slot(&self, key: &ObjectKey, not_before: Instant) -> Slot {
        let (mut slots, now) = (self.0.lock(), Instant::now());
        if let Some(slot) = slots.get(key).filter(|slot| slot.asked >= not_before) {
            return slot.clone();
        }
        slots.retain(|_, slot| now.duration_since(slot.asked) < KEEP);
        if slots.len() >= MOST
            && let Some(oldest) = slots
                .iter()
                .min_by_key(|(_, slot)| slot.asked)
                .map(|(key, _)| key.clone())
        {
            slots.remove(&oldest);
        }
        let slot = Slot {
            asked: now,
            answer: Arc::default(),
        };
        slots.insert(key.clone(), slot.clone());
        slot
    }

    /// Drop what nobody will ask for.
    pub fn sweep(&self) {
        self.0.lock().retain(|_, slot| slot.asked.elapsed() < KEEP);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::super::object::Kind;
    use super::*;

    /// An API server that counts, and knows "a".
    fn server() -> (Client, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::task::yield_now().await;
                let (code, answer) = match request.uri().path().ends_with("/a") {
                    true => (200, json!({ "number": number })),
                    false => (
                        404,
                        json!({ "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound" }),
                    ),
                };
                let body = Body::from(serde_json::to_vec(&answer).unwrap());
                Ok::<_, std::io::Error>(Response::builder().status(code).body(body).unwrap())
            }
        });
        (Client::new(service, "default"), asked)
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(Kind::ConfigMap, "n", name)
    }

    #[tokio::test]
    async fn one_question_serves_all_targets_and_a_newer_version_is_asked_for_anew() {
        let ((client, asked), fetched) = (server(), Fetched::default());
        let seen = Instant::now();
        let key = key("a");
        let ask = || fetched.get(&client, &key, seen);
        let (one, two) = tokio::join!(ask(), ask());
        assert!(Arc::ptr_eq(&one.unwrap().unwrap(), &two.unwrap().unwrap()));
        ask().await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let newer = fetched.get(&client, &key, Instant::now()).await.unwrap().unwrap();
        assert_eq!((&newer["number"], asked.load(Ordering::SeqCst)), (&json!(1), 2));
    }

    #[tokio::test]
    async fn what_does_not_exist_is_an_answer_too() {
        let ((client, asked), fetched) = (server(), Fetched::default());
        let seen = Instant::now();
        for _ in 0..3 {
            assert!(fetched.get(&client, &key("b"), seen).await.unwrap().is_none());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn few_answers_are_kept() {
        let ((client, _), fetched) = (server(), Fetched::default());
        for number in 0..MOST * 2 {
            let key = key(&number.to_string());
            fetched.get(&client, &key, Instant::now()).await.unwrap();
        }
        assert_eq!(fetched.0.lock().len(), MOST);
    }
}
