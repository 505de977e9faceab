use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use multicluster_trust::tokens::InvalidKeySet;
use multicluster_trust::{Prefix, Provider, Trusted};

use super::*;

/// Gives the next answer; the last one again and again.
struct Answers {
    given: AtomicUsize,
    answers: Vec<Result<&'static str, &'static str>>,
}

const ONE: &str = r#"{"keys":[{"kty":"OKP","kid":"1","use":"sig","alg":"EdDSA","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

impl Fetch for Answers {
    fn fetch<'a>(&'a self, _: &'a Issuer) -> BoxFuture<'a, Result<KeySet, FetchError>> {
        let at = self.given.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        let answer = match self.answers[at] {
            Ok(keys) => Ok(KeySet::parse(keys.as_bytes()).unwrap()),
            Err(why) => Err(FetchError::Keys(InvalidKeySet(why.into()))),
        };
        Box::pin(async move { answer })
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Tell for Told {
    fn keys_unavailable(&self, _: &ProviderRef, error: &FetchError) {
        self.0.lock().push(error.to_string());
    }
}

fn reference() -> ProviderRef {
    ProviderRef {
        namespace: "default".into(),
        name: "tokens".into(),
        uid: "1".into(),
    }
}

fn trust(keys: KeySource) -> Trust {
    let issuer = Issuer {
        issuer: "https://issuer.example.com".into(),
        audiences: BTreeSet::from(["a".into()]),
        keys,
    };
    let provider = Provider {
        reference: reference(),
        prefix: Prefix::parse("tokens:").unwrap(),
        proof: Proof::Tokens(issuer),
        identities: BTreeSet::new(),
        groups: BTreeSet::new(),
    };
    let trusted = Trusted {
        provider,
        admitted: BTreeSet::new(),
    };
    Trust {
        providers: BTreeMap::from([(reference(), Ok(Arc::new(trusted)))]),
    }
}

fn discovery() -> KeySource {
    KeySource::Discovery {
        url: "https://issuer.example.com/.well-known/openid-configuration".into(),
        authorities: vec![],
    }
}

struct Fixture {
    keys: Keys,
    answers: Arc<Answers>,
    told: Arc<Told>,
}

impl Fixture {
    fn new(answers: &[Result<&'static str, &'static str>]) -> Self {
        let answers = Arc::new(Answers {
            given: AtomicUsize::new(0),
            answers: answers.to_vec(),
        });
        let told = Arc::<Told>::default();
        let keys = Keys::new(answers.clone(), told.clone(), Metrics::default());
        Self { keys, answers, told }
    }

    fn fetches(&self) -> usize {
        self.answers.given.load(Ordering::SeqCst)
    }

    fn known(&self) -> bool {
        self.keys.of(&reference()).is_some()
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_at_once_and_every_few_minutes() {
    let fixture = Fixture::new(&[Ok(ONE)]);
    fixture.keys.follow(&trust(discovery()));
    assert!(!fixture.known() && fixture.keys.check().is_err());
    pass(1).await;
    assert!(fixture.known() && fixture.keys.check().is_ok());
    assert_eq!(fixture.fetches(), 1);
    let before = fixture.keys.of(&reference()).unwrap();
    pass(300).await;
    assert_eq!(fixture.fetches(), 2);
    assert!(
        !Arc::ptr_eq(&before, &fixture.keys.of(&reference()).unwrap()),
        "what is gone from it is gone here"
    );
    // The same again: nothing begins anew.
    fixture.keys.follow(&trust(discovery()));
    pass(1).await;
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_asked_for_but_not_as_often_as_somebody_wants() {
    let fixture = Fixture::new(&[Ok(ONE)]);
    fixture.keys.follow(&trust(discovery()));
    pass(60).await;
    assert!(fixture.keys.refresh(&reference()).await);
    assert_eq!(fixture.fetches(), 2);
    for _ in 0..100 {
        assert!(!fixture.keys.refresh(&reference()).await);
    }
    pass(1).await;
    assert_eq!(fixture.fetches(), 2);
    pass(10).await;
    assert!(fixture.keys.refresh(&reference()).await);
    assert_eq!(fixture.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn old_keys_count_for_an_hour_while_there_are_no_new_ones() {
    let fixture = Fixture::new(&[Ok(ONE), Err("away"), Err("away"), Err("broken")]);
    fixture.keys.follow(&trust(discovery()));
    pass(3500).await;
    assert!(fixture.known());
    pass(500).await;
    assert!(!fixture.known());
    let told = fixture.told.0.lock().clone();
    assert_eq!(told.len(), 2, "once for each reason: {told:?}");
    assert!(fixture.fetches() > 50, "and they are asked for all the time");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_trusted_no_more_is_not_asked_any_more() {
    let fixture = Fixture::new(&[Ok(ONE)]);
    fixture.keys.follow(&trust(discovery()));
    pass(1).await;
    fixture.keys.follow(&Trust::default());
    assert!(!fixture.known());
    assert!(!fixture.keys.refresh(&reference()).await);
    pass(3600).await;
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_in_the_provider_are_there_at_once_and_never_fetched() {
    let fixture = Fixture::new(&[Err("never")]);
    fixture.keys.follow(&trust(KeySource::Inline(ONE.into())));
    assert!(fixture.known() && fixture.keys.check().is_ok());
    assert!(!fixture.keys.refresh(&reference()).await);
    fixture.keys.follow(&trust(KeySource::Inline("{}".into())));
    assert!(!fixture.known());
    assert_eq!((fixture.fetches(), fixture.told.0.lock().len()), (0, 1));
}
