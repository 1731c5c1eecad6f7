//! Work that does as it is written, with the clock at a stand.

use std::{convert::Infallible, io};

use super::{super::drain::Drain, *};

const TIMEOUTS: ConnectionTimeouts = ConnectionTimeouts {
    header: Duration::from_secs(10),
    idle: Duration::from_secs(75),
};

/// Work that does as it is written.
struct Script(Pin<Box<dyn Future<Output = ()>>>);

impl Script {
    fn new(script: impl Future<Output = ()> + 'static) -> Self {
        Self(Box::pin(script))
    }

    fn nothing() -> Self {
        Self::new(std::future::pending())
    }
}

impl Work for Script {
    type Error = Infallible;

    fn poll_work(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.as_mut().poll(cx).map(Ok)
    }

    fn finish(mut self: Pin<&mut Self>) {
        self.0 = Box::pin(std::future::ready(()));
    }
}

async fn guard(
    watchdog: &mut Watchdog,
    mut script: Script,
    when_idle: WhenIdle,
) -> (Result<End, ConnectionError>, u64) {
    let began = Instant::now();
    let end = watchdog.guard(Pin::new(&mut script), when_idle).await;
    (end, began.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_all_are_told_to() {
    let drain = Drain::new();
    let mut watchdog = Watchdog::new(drain.signal(), TIMEOUTS);
    let ended = async {
        let (ended, _seconds) = guard(&mut watchdog, Script::nothing(), WhenIdle::Park).await;
        assert!(watchdog.is_draining());
        drop(watchdog);
        ended
    };
    let (ended, ()) = tokio::join!(ended, drain.complete());
    assert_eq!(ended.unwrap(), End::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_ends_after_the_header_time_out() {
    let drain = Drain::new();
    let mut watchdog = Watchdog::new(drain.signal(), TIMEOUTS);
    let (ended, seconds) = guard(&mut watchdog, Script::nothing(), WhenIdle::Park).await;
    assert!(matches!(ended, Err(ConnectionError::Silent)));
    assert!((10..12).contains(&seconds), "{seconds}");

    let mut watchdog = Watchdog::new(drain.signal(), TIMEOUTS);
    let (ended, seconds) = guard(&mut watchdog, Script::nothing(), WhenIdle::Close).await;
    assert_eq!(ended.unwrap(), End::Closed);
    assert!((10..12).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_parked_and_ends_after_the_idle_time_out() {
    let drain = Drain::new();
    let mut watchdog = Watchdog::new(drain.signal(), TIMEOUTS);
    drop(watchdog.activity().request());
    let (parked, seconds) = guard(&mut watchdog, Script::nothing(), WhenIdle::Park).await;
    assert_eq!(parked.unwrap(), End::Parked);
    assert!((2..4).contains(&seconds), "{seconds}");
    let (ended, seconds) = guard(&mut watchdog, Script::nothing(), WhenIdle::Close).await;
    assert_eq!(ended.unwrap(), End::Closed);
    assert!((72..75).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_asked_again_and_again_is_not_parked() {
    let drain = Drain::new();
    let mut watchdog = Watchdog::new(drain.signal(), TIMEOUTS);
    let activity = Arc::clone(watchdog.activity());
    let script = Script::new(async move {
        for _ in 0..100 {
            drop(activity.request());
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        }
    });
    let (ended, seconds) = guard(&mut watchdog, script, WhenIdle::Park).await;
    assert_eq!((ended.unwrap(), seconds), (End::Closed, 150));
}

#[tokio::test(start_paused = true)]
async fn a_request_may_take_its_time_and_the_next_head_may_not() {
    let drain = Drain::new();
    let mut watchdog = Watchdog::new(drain.signal(), TIMEOUTS);
    let activity = Arc::clone(watchdog.activity());
    let request = activity.request();
    let script = Script::new(async move {
        tokio::time::sleep(Duration::from_secs(200)).await;
        drop(request);
        tokio::time::sleep(Duration::from_secs(1)).await;
        activity.bytes_came();
        std::future::pending::<()>().await;
    });
    let (ended, seconds) = guard(&mut watchdog, script, WhenIdle::Park).await;
    assert!(matches!(ended, Err(ConnectionError::Silent)));
    assert!((211..214).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_draining() {
    struct Broken;

    impl Work for Broken {
        type Error = io::Error;

        fn poll_work(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }

        fn finish(self: Pin<&mut Self>) {}
    }

    let drain = Drain::new();
    let mut watchdog = Watchdog::new(drain.signal(), TIMEOUTS);
    let end = watchdog.guard(Pin::new(&mut Broken), WhenIdle::Close).await;
    assert!(matches!(end, Err(ConnectionError::Served(_))));
}
