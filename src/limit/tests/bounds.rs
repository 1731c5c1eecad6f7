//! How much memory the counts take, what happens when there is no more, and that it is given back.

use super::{super::key::Key, *};

fn sum_of_bytes(limiter: &FakeLimiter) -> usize {
    limiter
        .many_keyed()
        .map(|policy| policy.table.bytes())
        .iter()
        .sum()
}

#[tokio::test]
async fn a_million_emails_take_at_most_80_bytes_each_and_give_them_back() {
    const EMAILS: usize = 1_000_000;
    let (limiter, clock) = limiter(&email_only());
    let policy = limiter.policy(Limit::Email, Operation::Recover).unwrap();
    // keys as a keyed hash would make them, without a million hashes in a test
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..EMAILS {
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random.wrapping_mul(0x2545_F491_4F6C_DD1D)
        };
        let [a, b, c, d, ..] = next().to_le_bytes();
        let key = Key {
            head: next(),
            tail: u32::from_le_bytes([a, b, c, d]),
        };
        assert!(policy.charge(key, 0).is_ok());
    }
    assert_eq!(limiter.keys(), EMAILS);
    let each = sum_of_bytes(&limiter).div_ceil(EMAILS);
    assert!(each <= 80, "{each} bytes an email");
    // a step of the sweep holds one shard's lock
    assert!(policy.table.fullest() < 5_000);

    limiter.sweep().await;
    assert_eq!(limiter.keys(), EMAILS, "nothing is forgotten early");
    clock.advance(seconds(DAY));
    limiter.sweep().await;
    assert_eq!(limiter.keys(), 0);
    assert!(sum_of_bytes(&limiter) < 100_000);
}

#[test]
fn a_larger_table_has_more_shards_of_the_same_size() {
    let shards = |keys| table::table(2, &Arc::new(Room::new(keys))).shards();
    assert_eq!(shards(1_000), 256);
    assert_eq!(shards(1_000_000), 256);
    for keys in [10_000_000, 100_000_000] {
        assert!(keys / shards(keys) <= 4_096);
    }
}

#[tokio::test]
async fn others_run_between_any_two_steps_of_the_sweep() {
    let (limiter, _clock) = limiter(&email_only());
    let mut sweep = std::pin::pin!(limiter.sweep());
    let mut steps = 0;
    std::future::poll_fn(|context| {
        steps += 1;
        sweep.as_mut().poll(context)
    })
    .await;
    let tables = limiter.many_keyed().map(|policy| policy.table.shards());
    assert_eq!(steps, tables.iter().sum::<usize>() + 1);
}

#[tokio::test]
async fn a_full_table_is_stricter_and_never_open() {
    let mut settings = email_only();
    settings.max_keys = NonZeroUsize::new(100).unwrap();
    let (limiter, clock) = limiter(&settings);
    let known = email("known");
    assert_eq!(admitted(&limiter, &recovery(&known)), 5);
    for n in 0..1000 {
        let each = email(n);
        let through = admitted(&limiter, &recovery(&each));
        assert!(through <= 5);
        if n < 200 {
            assert!(through > 0, "it is never shut for all");
        }
    }
    assert_eq!(limiter.keys(), 100);
    let flooded = sum_of_bytes(&limiter);
    assert_eq!(
        admitted(&limiter, &recovery(&known)),
        0,
        "it is not forgotten"
    );
    let unknown = email("unknown");
    assert!((1..=5).contains(&admitted(&limiter, &recovery(&unknown))));
    assert_eq!(admitted(&limiter, &recovery(&unknown)), 0);

    // room for one: it starts from what it used up in the bucket
    limiter.forgive(&known).await.unwrap();
    assert_eq!(admitted(&limiter, &recovery(&unknown)), 0);
    assert_eq!(admitted(&limiter, &recovery(&email("another"))), 5);

    clock.advance(seconds(2 * DAY));
    limiter.sweep().await;
    assert_eq!(limiter.keys(), 0);
    assert!(sum_of_bytes(&limiter) < flooded / 10);
    assert_eq!(admitted(&limiter, &recovery(&unknown)), 5);
}

#[test]
fn in_a_shared_bucket_only_what_was_taken_is_given_back() {
    let mut settings = email_only();
    settings.max_keys = NonZeroUsize::MIN;
    let (limiter, _clock) = limiter(&settings);
    drop(limiter.admit_here(&recovery(&email("first"))));
    let shared = email("shared");
    drop(limiter.admit_here(&recovery(&shared)));
    limiter
        .admit_here(&recovery(&shared))
        .unwrap()
        .give_back_here();
    limiter
        .admit_here(&recovery(&shared))
        .unwrap()
        .accepted_here();
    assert_eq!(limiter.standing_here(&shared)[0].remaining, 4);
    assert_eq!(limiter.keys(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_sweep_comes_by_itself() {
    let (limiter, clock) = limiter(&email_only());
    let sweep = tokio::spawn(Arc::clone(&limiter).sweep_forever());
    drop(limiter.admit_here(&recovery(&email("a"))));
    clock.advance(seconds(2 * DAY));
    while limiter.keys() > 0 {
        tokio::time::sleep(seconds(1)).await;
    }
    sweep.abort();
}
