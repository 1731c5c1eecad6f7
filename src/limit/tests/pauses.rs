//! The vendor's own 429.

use super::*;

#[test]
fn a_pause_holds_for_what_the_vendor_counted() {
    let (limiter, clock) = limiter(&settings());
    let a = email("a");
    let address = IpAddr::from([192, 0, 2, 1]);
    limiter.pause_here(Operation::Recover, Some(address), seconds(60));
    let refused = refusal(&limiter, &recovery_from(&a, 1));
    assert_eq!(refused.limit(), Limit::Upstream);
    assert_eq!(refused.retry_after(), seconds(60));
    assert!(limiter.admit_here(&recovery_from(&a, 2)).is_ok());
    assert!(limiter.admit_here(&recovery(&a)).is_ok());

    // where we have no quota there is none to tell of
    limiter.pause_here(Operation::UserDevices, None, seconds(60));
    let of_vendor = refusal(&limiter, &attempt(Operation::UserDevices));
    let names = |refused: &Refusal| -> Vec<_> { refused.headers().map(|(name, _)| name).collect() };
    assert_eq!(names(&of_vendor), ["retry-after"]);
    let announced = ["retry-after", "ratelimit-policy", "ratelimit"];
    assert_eq!(names(&refused), announced);

    limiter.pause_here(Operation::Recover, None, seconds(10_000));
    limiter.pause_here(Operation::Recover, None, seconds(1));
    assert_eq!(refusal(&limiter, &recovery(&a)).retry_after(), seconds(300));
    assert!(limiter.admit_here(&attempt(Operation::LoginVerify)).is_ok());
    clock.advance(seconds(300));
    assert!(limiter.admit_here(&recovery(&a)).is_ok());
    assert!(limiter.admit_here(&recovery_from(&a, 1)).is_ok());
    limiter.pause_here(Operation::Recover, None, Duration::ZERO);
    assert_eq!(refusal(&limiter, &recovery(&a)).retry_after(), seconds(1));
}

#[test]
fn a_pause_refuses_nothing_where_the_limit_observes() {
    let mut settings = settings();
    settings.upstream[0].1.mode = Mode::Observe;
    let (limiter, _clock) = limiter(&settings);
    limiter.pause_here(Operation::Recover, None, seconds(60));
    let a = email("a");
    let charge = limiter.admit_here(&recovery(&a)).unwrap();
    let said: Vec<_> = charge.decisions().iter().collect();
    assert_eq!(
        said,
        [
            (Limit::Upstream, Decision::Observed),
            (Limit::Email, Decision::Admitted)
        ]
    );
}
