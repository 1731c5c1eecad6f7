//! N attempts at the same instant, on real threads.

use std::thread;

use super::*;

#[test]
fn concurrent_guesses_never_let_more_than_the_quota_through() {
    for _round in 0..20 {
        let (limiter, _clock) = limiter(&email_only());
        let a = email("a");
        let through: usize = thread::scope(|scope| {
            let guess = || admitted(&limiter, &recovery(&a));
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(guess)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(through, 5);
    }
}

#[test]
fn concurrent_guesses_through_several_limits_never_let_more_through() {
    let (limiter, _clock) = limiter(&settings());
    let a = email("a");
    let through: usize = thread::scope(|scope| {
        let guess = |client| {
            let (limiter, a) = (&limiter, &a);
            move || admitted(limiter, &recovery_from(a, client))
        };
        let threads: Vec<_> = (0..6).map(|n| scope.spawn(guess(n / 2))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert!((1..=5).contains(&through), "{through}");
}
