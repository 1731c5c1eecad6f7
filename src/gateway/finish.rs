//! What has begun is finished, though nobody waits for it any more.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// Drives work in the task that asked for it; when that task is given up (hyper drops a
/// request's future as soon as its caller leaves), the rest of the work goes on as a task of
/// its own. So the usual case costs no spawn, and no wake-up through a join handle.
pub(super) struct Finish<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Finish<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = self.0.as_mut() else {
            return Poll::Pending; // polled again after it was done: there is nothing to wake for
        };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        // without a runtime the process is ending, past its drain
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            drop(runtime.spawn(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_when_its_waiter_is_gone() {
        let (begin, began) = oneshot::channel::<()>();
        let (done, seen) = oneshot::channel();
        let mut finish = Finish::new(async move {
            began.await.unwrap();
            done.send(()).unwrap();
        });
        let polled = Pin::new(&mut finish).poll(&mut Context::from_waker(std::task::Waker::noop()));
        assert!(polled.is_pending());
        drop(finish);
        begin.send(()).unwrap();
        seen.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_awaited_gives_its_result() {
        assert_eq!(Finish::new(async { 7 }).await, 7);
    }
}
