//! A load with a vendor of its own, on a thread of its own: as many of them as it takes to keep
//! several cores busy.

use std::{net::SocketAddr, path::Path, thread, time::Duration};

use socket2::{Domain, Socket, Type};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_rustls::TlsAcceptor;

use crate::support::{
    load::{Driven, Pace, Target, drive},
    process::{cpu_times, pin},
    world::serve,
};

/// A thread that drives what it is told to.
pub(crate) struct Loader(mpsc::UnboundedSender<Order>);

struct Order {
    target: Target,
    pace: Pace,
    /// The gateway, whose time on the processor is taken meanwhile.
    process: u32,
    done: oneshot::Sender<(Driven, Duration)>,
}

impl Loader {
    /// Starts one on these cores. All vendors that listen at one address share its connections.
    pub(crate) fn start(cores: &str, vendor: std::net::TcpListener, tls: TlsAcceptor) -> Self {
        let (orders, mut given) = mpsc::unbounded_channel::<Order>();
        let cores = cores.to_owned();
        thread::spawn(move || {
            pin(this_thread(), &cores);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::spawn(serve(TcpListener::from_std(vendor).unwrap(), tls));
                while let Some(order) = given.recv().await {
                    let clock = || cpu_times(order.process).values().sum();
                    let driven = drive(order.target, order.pace, clock).await;
                    drop(order.done.send(driven));
                }
            });
        });
        Self(orders)
    }

    /// Begins at once, whether its end is waited for or not.
    pub(crate) fn begin(
        &self,
        target: Target,
        pace: Pace,
        process: u32,
    ) -> oneshot::Receiver<(Driven, Duration)> {
        let (done, driven) = oneshot::channel();
        let order = Order {
            target,
            pace,
            process,
            done,
        };
        assert!(self.0.send(order).is_ok(), "a load has ended");
        driven
    }
}

/// Sockets that listen at one address; the kernel shares the connections out.
pub(crate) fn listeners(number: usize) -> Vec<std::net::TcpListener> {
    let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut listeners = Vec::with_capacity(number);
    for _ in 0..number {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(1_024).unwrap();
        let listener = std::net::TcpListener::from(socket);
        address = listener.local_addr().unwrap();
        listeners.push(listener);
    }
    listeners
}

/// The kernel's number of this thread.
fn this_thread() -> u32 {
    let path = Path::new("/proc/thread-self").read_link().unwrap();
    let number = path.file_name().and_then(|name| name.to_str());
    number.unwrap().parse().unwrap()
}
