//! Work that does as it is written, with the clock at a stand.

use std::{convert::Infallible, io};

use super::{super::drain::Drain, *};

const PATIENCE: Patience = Patience {
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

async fn over(
    watch: &mut Watch,
    mut script: Script,
    served: Served,
) -> (Result<Over, ConnectionError>, u64) {
    let began = Instant::now();
    let over = watch.over(Pin::new(&mut script), served).await;
    (over, began.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_all_are_told_to() {
    let drain = Drain::new();
    let mut watch = Watch::new(drain.word(), PATIENCE);
    let ended = async {
        let (ended, _seconds) = over(&mut watch, Script::nothing(), Served::Again).await;
        assert!(watch.is_told());
        drop(watch);
        ended
    };
    let (ended, ()) = tokio::join!(ended, drain.complete());
    assert_eq!(ended.unwrap(), Over::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_ends_after_the_header_time_out() {
    let drain = Drain::new();
    for served in [Served::Again, Served::Once] {
        let mut watch = Watch::new(drain.word(), PATIENCE);
        let (ended, seconds) = over(&mut watch, Script::nothing(), served).await;
        assert!(matches!(ended, Err(ConnectionError::Silent)));
        assert!((10..12).contains(&seconds), "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_rests_and_ends_after_the_idle_time_out() {
    let drain = Drain::new();
    let mut watch = Watch::new(drain.word(), PATIENCE);
    drop(watch.pulse().request());
    let (rests, seconds) = over(&mut watch, Script::nothing(), Served::Again).await;
    assert_eq!(rests.unwrap(), Over::Rests);
    assert!((2..4).contains(&seconds), "{seconds}");
    let (ended, seconds) = over(&mut watch, Script::nothing(), Served::Once).await;
    assert!(matches!(ended, Err(ConnectionError::Silent)));
    assert!((72..75).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_asked_again_and_again_does_not_rest() {
    let drain = Drain::new();
    let mut watch = Watch::new(drain.word(), PATIENCE);
    let pulse = Arc::clone(watch.pulse());
    let script = Script::new(async move {
        for _ in 0..100 {
            drop(pulse.request());
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        }
    });
    let (ended, seconds) = over(&mut watch, script, Served::Again).await;
    assert_eq!((ended.unwrap(), seconds), (Over::Ended, 150));
}

#[tokio::test(start_paused = true)]
async fn a_request_may_take_its_time_and_the_next_head_may_not() {
    let drain = Drain::new();
    let mut watch = Watch::new(drain.word(), PATIENCE);
    let pulse = Arc::clone(watch.pulse());
    let request = pulse.request();
    let script = Script::new(async move {
        tokio::time::sleep(Duration::from_secs(200)).await;
        drop(request);
        tokio::time::sleep(Duration::from_secs(1)).await;
        pulse.bytes_came();
        std::future::pending::<()>().await;
    });
    let (ended, seconds) = over(&mut watch, script, Served::Again).await;
    assert!(matches!(ended, Err(ConnectionError::Silent)));
    assert!((211..214).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_told() {
    struct Broken;

    impl Work for Broken {
        type Error = io::Error;

        fn poll_work(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }

        fn finish(self: Pin<&mut Self>) {}
    }

    let drain = Drain::new();
    let mut watch = Watch::new(drain.word(), PATIENCE);
    let over = watch.over(Pin::new(&mut Broken), Served::Once).await;
    assert!(matches!(over, Err(ConnectionError::Served(_))));
}
