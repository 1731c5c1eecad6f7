//! `ready`: is the gateway on this machine ready? For exec probes and start-up scripts, in
//! images that have no shell.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{Failure, config::SourceArgs, run::event_loop};
use crate::{config, model::Deadline};

/// `mfa-gateway ready`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  mfa-gateway ready --wait 30s && exec my-app")]
pub(super) struct ReadyArgs {
    /// Keep asking for so long until it is
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    wait: Duration,
    /// The admin listener's address; without it as configured
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    #[command(flatten)]
    sources: SourceArgs,
}

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// For one question.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks until it is ready or the time is over.
pub(super) fn run(arguments: &ReadyArgs) -> Result<(), Failure> {
    let address = match arguments.admin {
        Some(address) => address,
        None => config::admin_address(&arguments.sources.sources())
            .map_err(Failure::Configuration)?
            .ok_or_else(|| {
                Failure::Usage("the admin listener is off: admin.address is empty".to_owned())
            })?,
    };
    let address = reachable(address);
    event_loop()?.block_on(async {
        let end = Deadline::after(arguments.wait);
        loop {
            let trouble = match timeout(PATIENCE, ask(address)).await {
                Ok(Ok(StatusCode::OK)) => return Ok(()),
                Ok(Ok(status)) => format!("it answers {status}"),
                Ok(Err(error)) => error,
                Err(_elapsed) => "no answer".to_owned(),
            };
            if end.run(sleep(PAUSE)).await.is_err() {
                return Err(Failure::AtRunTime(format!(
                    "the gateway at {address} is not ready: {trouble}"
                )));
            }
        }
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).ok_or_else(|| "write it like 500ms, 30s or 2m".to_owned())
}

/// An address to listen on everywhere is asked on loopback.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr) -> Result<StatusCode, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let request = Request::get("/readyz")
        .header(header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let asked = async {
        sender
            .send_request(request)
            .await
            .map(|answer| answer.status())
    };
    tokio::select! {
        answer = asked => answer.map_err(|error| error.to_string()),
        ended = connection => match ended {
            Ok(()) => Err("it closed the connection".to_owned()),
            Err(error) => Err(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_asked_on_loopback() {
        assert_eq!(
            reachable("0.0.0.0:9090".parse().unwrap()),
            "127.0.0.1:9090".parse().unwrap()
        );
        assert_eq!(
            reachable("[::]:9090".parse().unwrap()),
            "[::1]:9090".parse().unwrap()
        );
        assert_eq!(
            reachable("10.0.0.7:9090".parse().unwrap()),
            "10.0.0.7:9090".parse().unwrap()
        );
    }
}
