//! What has begun is finished, though nobody waits for it any more.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// Work that can be given up until it has begun, and not from then on: when the task that waits
/// for it is given up (hyper drops a request's future as soon as its caller leaves), the rest goes
/// on as a task of its own. So the usual case costs no spawn, and no wake-up through a join handle.
pub struct Finish<T: Send + 'static> {
    /// `None`: done.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    begun: Begun,
}

/// Says that the work has begun.
#[derive(Clone, Debug, Default)]
pub struct Begun(Arc<AtomicBool>);

impl Begun {
    /// From here on the work is done to its end, whoever still waits for it.
    pub fn say(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<T: Send + 'static> Finish<T> {
    /// `work` is made of what says that it has begun.
    pub fn new<W>(work: impl FnOnce(Begun) -> W) -> Self
    where
        W: Future<Output = T> + Send + 'static,
    {
        let begun = Begun::default();
        Self {
            work: Some(Box::pin(work(begun.clone()))),
            begun,
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Finish<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finish")
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // taken out, so that work that panics is not begun again
        let Some(mut work) = self.work.take() else {
            return Poll::Pending; // polled again after it was done: there is nothing to wake for
        };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        let begun = self.begun.0.load(Ordering::Relaxed);
        // without a runtime the process is ending, past its drain
        if let (true, Some(work), Ok(runtime)) = (begun, self.work.take(), Handle::try_current()) {
            drop(runtime.spawn(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        task::Waker,
    };

    use tokio::sync::oneshot;

    use super::*;

    /// Work that goes on once it is let, and says then whether it came so far.
    fn begun(begins: bool) -> (oneshot::Sender<()>, oneshot::Receiver<()>) {
        let (go, gone) = oneshot::channel::<()>();
        let (done, seen) = oneshot::channel();
        let mut finish = Finish::new(|begun| async move {
            if begins {
                begun.say();
            }
            gone.await.unwrap();
            done.send(()).unwrap();
        });
        let polled = Pin::new(&mut finish).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        (go, seen)
    }

    #[tokio::test]
    async fn what_has_begun_goes_on_when_its_waiter_is_gone() {
        let (go, seen) = begun(true);
        go.send(()).unwrap();
        seen.await.unwrap();
    }

    #[tokio::test]
    async fn what_has_not_begun_is_given_up() {
        let (go, seen) = begun(false);
        assert!(go.is_closed());
        assert!(seen.await.is_err());
    }

    #[tokio::test]
    async fn work_that_panics_is_not_begun_again() {
        let mut finish = Finish::new(|begun| async move {
            begun.say();
            std::panic::resume_unwind(Box::new("a bug"))
        });
        let mut context = Context::from_waker(Waker::noop());
        let polled = AssertUnwindSafe(|| Pin::new(&mut finish).poll(&mut context));
        let polled: Result<Poll<()>, _> = catch_unwind(polled);
        assert!(polled.is_err());
        assert!(finish.work.is_none());
    }

    #[tokio::test]
    async fn what_is_awaited_gives_its_result() {
        assert_eq!(Finish::new(|_begun| async { 7 }).await, 7);
    }
}
