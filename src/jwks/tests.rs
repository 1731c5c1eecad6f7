//! When keys are fetched, under a clock that the tests move, and what is verified with them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    task::{JoinSet, yield_now},
    time::{Instant, sleep},
};

use super::*;
use crate::{
    jwt::{JwtError, UserToken, testing::Issuer},
    model::{Deadline, Signature},
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Who publishes keys: answers by its script and, after its end, as at its end; `None` is an outage.
#[derive(Clone, Default)]
struct Fake {
    script: Arc<Mutex<VecDeque<Option<String>>>>,
    takes: Duration,
    asked: Arc<Mutex<Vec<Instant>>>,
    changed: Arc<Notify>,
}

impl Fake {
    fn publishing(script: impl IntoIterator<Item = Option<String>>) -> Self {
        Self {
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            ..Self::default()
        }
    }

    fn then(&self, answer: Option<String>) {
        *self.script.lock().unwrap() = [answer].into();
    }

    fn start(&self) -> Verifier<UserToken> {
        let (keys, keeper) = Keeper::new(self.clone(), "tests", seconds(10));
        tokio::spawn(keeper.run());
        let accepted = Signature::ALL.to_vec();
        Verifier::new(keys, Some("i".to_owned()), "a".to_owned(), accepted)
    }

    fn fetches(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// Milliseconds between one fetch and the next.
    fn gaps(&self) -> Vec<u128> {
        let asked = self.asked.lock().unwrap();
        let gap = |pair: &[Instant]| pair[1].duration_since(pair[0]).as_millis();
        asked.windows(2).map(gap).collect()
    }
}

impl Source for Fake {
    async fn fetch(&mut self) -> Result<Published, FetchError> {
        self.asked.lock().unwrap().push(Instant::now());
        sleep(self.takes).await;
        let answer = {
            let mut script = self.script.lock().unwrap();
            let first = script.pop_front().unwrap();
            if script.is_empty() {
                script.push_back(first.clone());
            }
            first
        };
        let text = answer.ok_or(FetchError::Timeout)?;
        Published::read("the fake", text.as_bytes(), None)
    }

    async fn changed(&mut self) {
        self.changed.notified().await;
    }
}

fn claims() -> Value {
    json!({
        "iss": "i", "aud": "a", "exp": now().saturating_add(60),
        "type": "userToken", "sub": "ann", "tenantId": "acme",
    })
}

fn until(limit: u64) -> Patience {
    Patience::Until(Deadline::after(seconds(limit)))
}

fn until_failure(limit: u64) -> Patience {
    Patience::UntilFailure(Deadline::after(seconds(limit)))
}

async fn verify(verifier: &Verifier<UserToken>, token: &str) -> Result<String, String> {
    let verified = verifier.verify(token, until(15)).await;
    let user = verified.map(|token| token.user().as_str().to_owned());
    user.map_err(|error| error.to_string())
}

fn unknown() -> Result<String, String> {
    Err(JwtError::UnknownKey.to_string())
}

/// Lets all other tasks go as far as they can without time passing.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_the_first_keys_and_cause_one_fetch() {
    let issuer = Issuer::p256("1");
    let mut fake = Fake::publishing([None, Some(issuer.jwks())]);
    fake.takes = seconds(1);
    let verifier = Arc::new(fake.start());
    let token = issuer.sign(&claims());
    let mut requests = JoinSet::new();
    for _ in 0..100 {
        let (verifier, token) = (Arc::clone(&verifier), token.clone());
        requests.spawn(async move { verify(&verifier, &token).await });
    }
    for verified in requests.join_all().await {
        assert_eq!(verified, Ok("ann".to_owned()));
    }
    assert_eq!(fake.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_keys_in_time_it_is_nobodys_fault_but_theirs() {
    let fake = Fake::publishing([None]);
    let verifier = fake.start();
    let token = Issuer::p256("1").sign(&claims());
    let error = verifier.verify(&token, until(3)).await.unwrap_err();
    let VerifyError::Keys(error) = error else {
        panic!("{error}");
    };
    assert!(matches!(
        error.trouble.as_deref(),
        Some(FetchError::Timeout)
    ));
    assert!(error.retry_after <= Duration::from_millis(5_500));
    // what can't be a token at all need not wait
    let asked = Instant::now();
    assert!(verify(&verifier, "no.token").await.is_err());
    assert_eq!(Instant::now(), asked);
}

#[tokio::test(start_paused = true)]
async fn who_is_to_wait_until_failure_waits_for_one_fetch_and_never_for_the_next() {
    let issuer = Issuer::p256("1");
    let token = issuer.sign(&claims());
    let mut fake = Fake::publishing([None]);
    fake.takes = seconds(1);
    let verifier = fake.start();
    let waited = async |limit| {
        let asked = Instant::now();
        let verified = verifier.verify(&token, until_failure(limit)).await;
        assert!(matches!(verified, Err(VerifyError::Keys(_))));
        asked.elapsed()
    };
    // the limit, the fetch's end, and nothing, also while the next fetch is under way
    assert_eq!(waited(0).await, Duration::ZERO);
    assert!((1_000..1_010).contains(&waited(15).await.as_millis()));
    for _ in 0..100 {
        assert_eq!(waited(15).await, Duration::ZERO);
        sleep(Duration::from_millis(100)).await;
    }
    assert!(fake.fetches() > 2);
    // the trouble is over with the first keys, and matters no more once there are some
    fake.then(Some(issuer.jwks()));
    sleep(seconds(10)).await;
    fake.then(None);
    sleep(seconds(3_700)).await;
    let verified = verifier.verify(&token, until_failure(15)).await;
    assert!(verified.is_ok(), "{verified:?}");
    let verified = verifier.verify("no.token", until_failure(15)).await;
    assert!(matches!(verified, Err(VerifyError::Token(_))));
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_when_its_first_token_comes() {
    let (old, new) = (Issuer::p256("old"), Issuer::p256("new"));
    let mut fake = Fake::publishing([Some(old.jwks()), Some(new.jwks())]);
    fake.takes = seconds(1);
    let verifier = Arc::new(fake.start());
    assert_eq!(
        verify(&verifier, &old.sign(&claims())).await,
        Ok("ann".to_owned())
    );
    let mut requests = JoinSet::new();
    for _ in 0..100 {
        let (verifier, token) = (Arc::clone(&verifier), new.sign(&claims()));
        requests.spawn(async move { verify(&verifier, &token).await });
    }
    for verified in requests.join_all().await {
        assert_eq!(verified, Ok("ann".to_owned()));
    }
    assert_eq!(fake.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_force_at_most_one_fetch_in_thirty_seconds() {
    let issuer = Issuer::p256("1");
    let fake = Fake::publishing([Some(issuer.jwks())]);
    let verifier = fake.start();
    verify(&verifier, &issuer.sign(&claims())).await.unwrap();
    let stranger = Issuer::p256("2");
    for second in 0..120 {
        for _ in 0..10 {
            let asked = Instant::now();
            assert_eq!(
                verify(&verifier, &stranger.sign(&claims())).await,
                unknown()
            );
            assert_eq!(Instant::now(), asked, "it waited");
        }
        assert!(
            fake.fetches() <= 2 + second / 30,
            "{second}: {}",
            fake.fetches()
        );
        sleep(seconds(1)).await;
    }
    assert_eq!(fake.fetches(), 5);
    assert_eq!(
        verify(&verifier, &issuer.sign(&claims())).await,
        Ok("ann".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_changes_nothing_for_known_keys() {
    let issuer = Issuer::p256("1");
    let fake = Fake::publishing([Some(issuer.jwks()), None]);
    let verifier = fake.start();
    verify(&verifier, &issuer.sign(&claims())).await.unwrap();
    sleep(seconds(24 * 3_600)).await;
    assert!(fake.fetches() > 100);
    assert_eq!(
        verify(&verifier, &issuer.sign(&claims())).await,
        Ok("ann".to_owned())
    );
    let newest = Issuer::p256("2");
    assert_eq!(verify(&verifier, &newest.sign(&claims())).await, unknown());
    // and when it is over, nobody has to wait for long
    fake.then(Some(newest.jwks()));
    sleep(seconds(70)).await;
    assert_eq!(
        verify(&verifier, &newest.sign(&claims())).await,
        Ok("ann".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn they_are_renewed_hourly_and_failures_are_tried_again_growing() {
    let issuer = Issuer::p256("1");
    let fake = Fake::publishing([None, None, None, Some(issuer.jwks()), None, None, None]);
    let _verifier = fake.start();
    sleep(seconds(3_700)).await;
    let gaps = fake.gaps();
    for (gap, expected) in gaps.iter().zip([
        450..=551,
        900..=1_101,
        1_800..=2_201,
        3_240_000..=3_600_001,
        450..=551,
        900..=1_101,
    ]) {
        assert!(expected.contains(gap), "{gaps:?}");
    }
    assert!(gaps.iter().max() == gaps.get(3), "{gaps:?}");
    assert!(gaps.last() <= Some(&66_001), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_withdrawn_verifies_nothing_any_more_seen_or_not() {
    let (old, new) = (Issuer::p256("old"), Issuer::p256("new"));
    let fake = Fake::publishing([Some(old.jwks()), Some(new.jwks())]);
    let verifier = fake.start();
    let token = old.sign(&claims());
    assert_eq!(verify(&verifier, &token).await, Ok("ann".to_owned()));
    fake.changed.notify_one();
    settle().await;
    assert_eq!(verify(&verifier, &token).await, unknown());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_seen_is_void_once_it_expires() {
    let issuer = Issuer::p256("1");
    let fake = Fake::publishing([Some(issuer.jwks())]);
    let verifier = fake.start();
    let mut said = claims();
    // good for this second, thanks to the leeway, and for none after it
    said["exp"] = (now() - 29).into();
    let token = issuer.sign(&said);
    let first = verify(&verifier, &token).await;
    assert!(first.is_ok() || now() > said["exp"].as_u64().unwrap() + 29);
    let expired = Err(JwtError::Expired.to_string());
    while now() < said["exp"].as_u64().unwrap() + 30 {
        yield_now().await;
    }
    assert_eq!(verify(&verifier, &token).await, expired);
}

#[tokio::test]
async fn a_file_is_read_again_when_its_text_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (old, new) = (Issuer::p256("old"), Issuer::p256("new"));
    std::fs::write(&path, old.jwks()).unwrap();
    let mut place = Place::File(path.clone(), None);
    let first = place.fetch().await.unwrap();
    tokio::time::pause();
    let minute = seconds(60);
    tokio::time::timeout(minute, place.changed())
        .await
        .unwrap_err();
    std::fs::remove_file(&path).unwrap();
    tokio::time::timeout(minute, place.changed())
        .await
        .unwrap_err();
    assert!(matches!(place.fetch().await, Err(FetchError::File { .. })));
    std::fs::write(&path, new.jwks()).unwrap();
    tokio::time::timeout(minute, place.changed()).await.unwrap();
    let second = place.fetch().await.unwrap();
    assert_ne!(first.digest, second.digest);
    std::fs::write(&path, "{}").unwrap();
    assert!(matches!(place.fetch().await, Err(FetchError::Keys { .. })));
}
