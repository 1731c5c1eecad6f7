//! One thread a core, each with an event loop of its own that serves its connections.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

use tokio::{
    runtime,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use super::parts::{Parts, Worker};
use crate::{
    audit::turn_is_over,
    edge::{Accepted, Server, ServerHandle, Servers},
};

/// How many threads serve: one a core that this process may use.
pub(super) fn wanted() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// An event loop that tells the audit log when a turn is over. What serves runs on one of these.
///
/// # Errors
/// Where the system has none to give.
pub fn event_loop() -> io::Result<runtime::Runtime> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(turn_is_over)
        .build()
}

/// A thread that waits for its work. Dropped without any, it ends.
#[derive(Debug)]
pub(super) struct Thread {
    event_loop: runtime::Handle,
    work: mpsc::Sender<(Server, UnboundedReceiver<Accepted>)>,
    thread: thread::JoinHandle<()>,
}

impl Thread {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = event_loop()?;
        let event_loop = runtime.handle().clone();
        let (work, given) = mpsc::channel::<(Server, UnboundedReceiver<Accepted>)>();
        let serve = move || {
            if let Ok((server, accepted)) = given.recv() {
                runtime.block_on(server.work(accepted));
            }
            // a name that is still being looked up must not hold up the end
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new()
            .name("serve".to_owned())
            .spawn(serve)?;
        Ok(Self {
            event_loop,
            work,
            thread,
        })
    }

    /// Does something as if on that thread: tasks that it spawns run there.
    pub(super) fn within<T>(&self, make: impl FnOnce() -> T) -> T {
        let _inside = self.event_loop.enter();
        make()
    }

    /// Waits for its end. It has none before its connections can no longer come.
    pub(super) fn join(self) {
        drop(self.work);
        if self.thread.join().is_err() {
            tracing::error!("a serving thread had panicked");
        }
    }
}

/// Gives all threads their work, the caller's own too.
pub(super) fn start_serving(parts: &Parts) -> Arc<Servers> {
    let server =
        |worker: &Worker| Server::new(worker.gateway.subscribe(), Arc::clone(&parts.metrics));
    let mut others = Vec::with_capacity(parts.others.len());
    for (thread, worker) in &parts.others {
        let server = server(worker);
        let (accepted, coming) = unbounded_channel();
        let handle = ServerHandle {
            accepted,
            load: server.load(),
        };
        match thread.work.send((server, coming)) {
            Ok(()) => others.push(handle),
            Err(mpsc::SendError(_work)) => {
                tracing::error!("a serving thread ended before it began");
            }
        }
    }
    Arc::new(Servers {
        here: server(&parts.here),
        others,
    })
}
