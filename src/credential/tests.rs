//! The schedule, under a clock that the tests move.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    sync::{Arc, Mutex},
};

use http::StatusCode;
use tokio::{
    sync::Notify,
    task::{JoinSet, yield_now},
    time::sleep,
};

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What an exchange of the fake brings: a token for so long, or nothing.
type Answer = Result<Duration, StatusCode>;

/// An exchange that takes its time, answers by its script and, after its end, as at its end.
#[derive(Clone, Default)]
struct Fake {
    script: Arc<Mutex<VecDeque<Answer>>>,
    takes: Duration,
    asked: Arc<Mutex<Vec<Instant>>>,
    changed: Arc<Notify>,
}

impl Fake {
    fn answering(script: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            ..Self::default()
        }
    }

    fn start(&self) -> Credentials {
        let (credentials, refresher) = Refresher::new(self.clone(), seconds(10));
        tokio::spawn(refresher.run());
        credentials
    }

    fn exchanges(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// Milliseconds between one exchange and the next.
    fn gaps(&self) -> Vec<u128> {
        let asked = self.asked.lock().unwrap();
        let gap = |pair: &[Instant]| pair[1].duration_since(pair[0]).as_millis();
        asked.windows(2).map(gap).collect()
    }
}

impl Exchange for Fake {
    async fn exchange(&mut self) -> Result<Token, ExchangeError> {
        self.asked.lock().unwrap().push(Instant::now());
        sleep(self.takes).await;
        let answer = {
            let mut script = self.script.lock().unwrap();
            let first = script.pop_front().unwrap();
            if script.is_empty() {
                script.push_back(first);
            }
            first
        };
        match answer {
            Ok(lifetime) => Ok(Token {
                header: HeaderValue::from_static("Bearer fake"),
                lifetime,
            }),
            Err(StatusCode::UNAUTHORIZED) => Err(ExchangeError::Rejected(StatusCode::UNAUTHORIZED)),
            Err(status) => Err(ExchangeError::Status(status)),
        }
    }

    async fn keys_changed(&mut self) {
        self.changed.notified().await;
    }
}

const DOWN: Answer = Err(StatusCode::SERVICE_UNAVAILABLE);

async fn bearer(credentials: &Credentials) -> Bearer {
    let deadline = Deadline::after(seconds(15));
    credentials.bearer(deadline).await.unwrap()
}

/// Lets all other tasks go as far as they can without time passing.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn five_hundred_requests_at_the_start_cause_one_exchange() {
    let mut fake = Fake::answering([Ok(HOUR)]);
    fake.takes = seconds(1);
    let credentials = fake.start();
    let mut requests = JoinSet::new();
    for _ in 0..500 {
        let credentials = credentials.clone();
        requests.spawn(async move { bearer(&credentials).await.generation() });
    }
    let generations = requests.join_all().await;
    assert_eq!(generations, [Generation(1); 500]);
    assert_eq!(fake.exchanges(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_before_eighty_percent_of_its_life_counted_from_the_question() {
    let mut fake = Fake::answering([Ok(seconds(1_000))]);
    fake.takes = seconds(5);
    let credentials = fake.start();
    sleep(seconds(20_000)).await;
    let gaps = fake.gaps();
    assert!(gaps.len() >= 25, "{gaps:?}");
    assert!(
        gaps.iter().all(|gap| (750_000..=800_001).contains(gap)),
        "{gaps:?}"
    );
    assert!(
        gaps.iter().any(|gap| *gap != gaps[0]),
        "no jitter: {gaps:?}"
    );
    assert!(credentials.status().trouble.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_token_expires_counted_from_the_question() {
    let mut fake = Fake::answering([Ok(seconds(8)), DOWN]);
    fake.takes = seconds(5);
    let credentials = fake.start();
    bearer(&credentials).await;
    sleep(seconds(2)).await;
    bearer(&credentials).await;
    sleep(seconds(2)).await;
    let late = credentials.bearer(Deadline::after(seconds(1))).await;
    assert!(late.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_life_does_not_make_us_busy() {
    let fake = Fake::answering([Ok(Duration::from_millis(1))]);
    let _credentials = fake.start();
    sleep(seconds(10)).await;
    assert!(fake.exchanges() <= 21, "{}", fake.exchanges());
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_survives_failed_renewals_until_it_expires() {
    let fake = Fake::answering([Ok(seconds(100)), DOWN]);
    let credentials = fake.start();
    sleep(seconds(99)).await;
    assert_eq!(bearer(&credentials).await.generation(), Generation(1));
    let status = credentials.status();
    assert!(status.failed > 2 && !status.is_rejected());
    sleep(seconds(2)).await;
    let error = credentials
        .bearer(Deadline::after(seconds(3)))
        .await
        .unwrap_err();
    assert!(error.trouble.is_some() && error.retry_after <= Duration::from_millis(5_500));
    assert!(error.to_string().contains("503"), "{error}");
    assert!(credentials.status().held_until.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failed_exchange_is_tried_again_after_half_a_second_growing_to_five() {
    let fake = Fake::answering([DOWN]);
    let _credentials = fake.start();
    sleep(seconds(30)).await;
    let expected: [RangeInclusive<u128>; 6] = [
        450..=551,
        900..=1_101,
        1_800..=2_201,
        3_600..=4_401,
        4_500..=5_501,
        4_500..=5_501,
    ];
    let gaps = fake.gaps();
    assert!(gaps.len() >= expected.len());
    for (gap, expected) in gaps.iter().zip(expected) {
        assert!(expected.contains(gap), "{gaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_success_failures_begin_small_again() {
    let fake = Fake::answering([DOWN, DOWN, DOWN, Ok(seconds(10)), DOWN]);
    let credentials = fake.start();
    bearer(&credentials).await;
    sleep(seconds(9)).await;
    let gaps = fake.gaps();
    assert!((450..=551).contains(&gaps[4]), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_hangs_is_given_up_before_the_next_one_begins() {
    let mut fake = Fake::answering([Ok(HOUR)]);
    fake.takes = seconds(11);
    let credentials = fake.start();
    sleep(Duration::from_millis(10_200)).await;
    assert!(matches!(
        credentials.status().trouble.as_deref(),
        Some(ExchangeError::Timeout)
    ));
    assert_eq!(fake.exchanges(), 1);
    sleep(seconds(1)).await;
    assert_eq!(fake.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_told_apart_from_silence() {
    let fake = Fake::answering([Err(StatusCode::UNAUTHORIZED), DOWN]);
    let credentials = fake.start();
    assert!(credentials.turned(false).await.is_rejected());
    sleep(seconds(1)).await;
    assert!(!credentials.status().is_rejected());
}

#[tokio::test(start_paused = true)]
async fn refusals_force_at_most_one_exchange_in_ten_seconds() {
    let fake = Fake::answering([Ok(HOUR)]);
    let credentials = fake.start();
    bearer(&credentials).await;
    for tenth in 0..600 {
        let current = bearer(&credentials).await.generation();
        for _ in 0..10 {
            credentials.refuse(current);
        }
        settle().await;
        let most = 2 + tenth / 100;
        assert!(fake.exchanges() <= most, "{} > {most}", fake.exchanges());
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(fake.exchanges(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_refusal_of_an_older_credential_comes_too_late() {
    let fake = Fake::answering([Ok(HOUR)]);
    let credentials = fake.start();
    let first = bearer(&credentials).await.generation();
    credentials.refuse(first);
    settle().await;
    assert_eq!(fake.exchanges(), 2);
    sleep(seconds(60)).await;
    credentials.refuse(first);
    settle().await;
    assert_eq!(fake.exchanges(), 2);
    let deadline = Deadline::after(seconds(1));
    let newer = credentials.renewed_after(first, deadline).await.unwrap();
    assert_eq!(newer.generation(), Generation(2));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_refused_together_waits_for_the_same_renewal() {
    let mut fake = Fake::answering([Ok(HOUR)]);
    fake.takes = seconds(1);
    let credentials = fake.start();
    let first = bearer(&credentials).await.generation();
    let mut requests = JoinSet::new();
    for at in 0..100 {
        let credentials = credentials.clone();
        requests.spawn(async move {
            sleep(Duration::from_millis(at * 9)).await;
            let deadline = Deadline::after(seconds(5));
            let renewed = credentials.renewed_after(first, deadline).await;
            renewed.map(|bearer| bearer.generation())
        });
    }
    let generations = requests.join_all().await;
    assert_eq!(generations, [Some(Generation(2)); 100]);
    assert_eq!(fake.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn where_no_renewal_comes_nobody_waits_for_one() {
    let fake = Fake::answering([Ok(HOUR), Ok(HOUR), DOWN]);
    let credentials = fake.start();
    let first = bearer(&credentials).await.generation();
    let deadline = Deadline::after(HOUR);
    let second = credentials.renewed_after(first, deadline).await.unwrap();
    let asked = Instant::now();
    let third = credentials
        .renewed_after(second.generation(), deadline)
        .await;
    assert!(third.is_none(), "ten seconds are not over");
    assert_eq!(Instant::now(), asked);
    sleep(seconds(10)).await;
    let third = credentials
        .renewed_after(second.generation(), deadline)
        .await;
    assert!(third.is_none(), "the exchange failed");
    assert_eq!(fake.exchanges(), 3);
    assert_eq!(bearer(&credentials).await.generation(), second.generation());
}

#[tokio::test(start_paused = true)]
async fn while_exchanges_fail_a_refusal_forces_none_and_waits_for_the_next() {
    let fake = Fake::answering([Ok(HOUR), DOWN]);
    let credentials = fake.start();
    let first = bearer(&credentials).await.generation();
    let deadline = Deadline::after(HOUR);
    // the forced one, and the one after its failure
    for exchanges in [2, 3] {
        assert!(credentials.renewed_after(first, deadline).await.is_none());
        assert_eq!(fake.exchanges(), exchanges);
    }
    for _ in 0..600 {
        credentials.refuse(first);
        sleep(Duration::from_millis(100)).await;
    }
    let gaps = fake.gaps();
    assert!(gaps.len() > 10, "{gaps:?}");
    assert!(gaps[5..].iter().all(|gap| *gap >= 4_500), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn changed_keys_are_exchanged_at_once() {
    let fake = Fake::answering([Ok(HOUR)]);
    let credentials = fake.start();
    bearer(&credentials).await;
    fake.changed.notify_one();
    settle().await;
    assert_eq!(bearer(&credentials).await.generation(), Generation(2));
}
