//! `sandbox`: the gateway in front of a stand-in of the vendor's API, on this machine.

use std::{
    convert::Infallible,
    io::{self, IsTerminal},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use tokio::{runtime::Runtime, sync::broadcast, time};

use super::{
    Failure,
    output::{print, tell},
    run::{close, event_loop},
};
use crate::{
    app::{App, Ended, Signals, StartError},
    config::{Sources, load},
    sandbox::{
        help,
        home::Home,
        setting::Setting,
        tour::{Page, Tour, TourError},
        vendor::{SentCode, Vendor, VendorOptions},
    },
    telemetry::log::Log,
};

/// `mfa-gateway sandbox`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mfa-gateway sandbox --tour\n  mfa-gateway sandbox --listen 127.0.0.1:8081 --state ~/sandbox"
)]
pub(super) struct SandboxArgs {
    /// Makes the calls of the main job itself, shows and checks what happens, and ends
    #[arg(long)]
    tour: bool,
    /// Where the gateway listens, on loopback. Without it: 127.0.0.1:8080, or a free port for
    /// the tour
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Keeps the CA, the keys, the configuration and the audit log in this folder
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// Where the gateway listens while it serves.
const GATEWAY: SocketAddr = loopback(8080);
/// Where its admin listener is, if the port is free.
const ADMIN: SocketAddr = loopback(9090);

const FREE: SocketAddr = loopback(0);

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Serves, or gives the tour.
pub(super) fn run(arguments: &SandboxArgs) -> Result<(), Failure> {
    if let Some(address) = arguments.listen.filter(|listen| !listen.ip().is_loopback()) {
        return Err(Failure::Usage(format!(
            "--listen {address}: the sandbox's credential and users are known to everybody, so it is for this machine alone; give a loopback address, such as {GATEWAY}"
        )));
    }
    let home = Home::open(arguments.state.as_deref()).map_err(Failure::at_run_time)?;
    let event_loop = event_loop()?;
    let world = event_loop.block_on(Box::pin(World::open(arguments, &home)))?;
    if arguments.tour {
        tour(event_loop, world, &home)
    } else {
        serve(event_loop, world, &home)
    }
}

/// The stand-in, and the gateway in front of it.
struct World {
    vendor: Vendor,
    app: App,
    signals: Signals,
}

impl World {
    /// Starts both.
    async fn open(arguments: &SandboxArgs, home: &Home) -> Result<Self, Failure> {
        let options = VendorOptions {
            authority: Some(home.authority().map_err(Failure::at_run_time)?),
            ..VendorOptions::default()
        };
        let vendor = Vendor::start(options).await.map_err(Failure::at_run_time)?;
        let listen = match arguments.listen {
            Some(address) => address,
            None if arguments.tour => FREE,
            None => GATEWAY,
        };
        let setting = Setting {
            listen,
            admin: if arguments.tour {
                FREE
            } else {
                admin_beside(listen)
            },
            vendor: vendor.origin(),
            log: if arguments.tour { "warn" } else { "info" },
        };
        // neither this machine's configuration nor its environment: a world of its own
        let sources = Sources {
            files: vec![home.configure(&setting).map_err(Failure::at_run_time)?],
            ..Sources::default()
        };
        let loaded = load(&sources).map_err(Failure::Configuration)?;
        let log = Log::start(&loaded.settings.telemetry, std::env::var("RUST_LOG").ok())
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let signals = Signals::listen().map_err(Failure::at_run_time)?;
        let app = App::build(sources, loaded, Some(log)).await;
        let app = app.map_err(|error| not_started(&error))?;
        Ok(Self {
            vendor,
            app,
            signals,
        })
    }
}

fn admin_beside(listen: SocketAddr) -> SocketAddr {
    if listen == ADMIN || TcpListener::bind(ADMIN).is_err() {
        FREE
    } else {
        ADMIN
    }
}

fn not_started(error: &StartError) -> Failure {
    let mend = if matches!(error, StartError::Listen(_)) {
        "; choose another address with --listen"
    } else {
        ""
    };
    Failure::AtRunTime(format!("{error}{mend}"))
}

/// The gateway's address.
fn address(app: &App) -> Result<SocketAddr, Failure> {
    let addresses = app.addresses();
    addresses
        .first()
        .and_then(|address| address.parse().ok())
        .ok_or_else(|| Failure::AtRunTime("the gateway listens nowhere".to_owned()))
}

/// Serves until told to stop, and shows the codes that users would see.
fn serve(event_loop: Runtime, world: World, home: &Home) -> Result<(), Failure> {
    let World {
        vendor,
        app,
        signals,
    } = world;
    let codes = vendor.subscribe_codes();
    home.show_authenticators(&vendor)
        .map_err(Failure::at_run_time)?;
    let text = help::text(home, &vendor, address(&app)?, app.admin_address());
    print(|out| io::Write::write_all(out, text.as_bytes()))?;
    let stopped = event_loop.block_on(async {
        tokio::select! {
            stopped = app.run(signals) => stopped,
            never = show_codes(home, &vendor, codes) => match never {},
        }
    });
    match close(event_loop, stopped)? {
        Ended::Drained | Ended::Hurried => Ok(()),
        Ended::WithoutAudit => Err(Failure::AtRunTime(format!(
            "{} takes no records any more",
            home.audit_log().display()
        ))),
    }
}

/// Shows each code that is sent, and what the authenticator apps show.
async fn show_codes(
    home: &Home,
    vendor: &Vendor,
    mut codes: broadcast::Receiver<SentCode>,
) -> Infallible {
    loop {
        let step = help::STEP;
        let left = step.saturating_sub(vendor.now().checked_rem(step).unwrap_or_default());
        let shown = tokio::select! {
            () = time::sleep(Duration::from_secs(left)) => home.show_authenticators(vendor),
            code = codes.recv() => match code {
                Ok(sent) => {
                    let line = help::sent(&sent);
                    if let Err(failure) = print(|out| io::Write::write_all(out, format!("{line}\n").as_bytes())) {
                        tell(&failure.to_string());
                    }
                    home.show_code(&sent.to, &sent.code)
                }
                // behind by a thousand codes: the next one is there
                Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            },
        };
        if let Err(error) = shown {
            tracing::warn!(%error, "a code is not in the sandbox's folder");
        }
    }
}

/// Gives the tour. The gateway ends after the last call, and drains as it always does.
fn tour(event_loop: Runtime, world: World, home: &Home) -> Result<(), Failure> {
    let World {
        vendor,
        app,
        signals,
    } = world;
    let mut stdout = io::stdout();
    let colour =
        stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let page = Page::new(&mut stdout, colour);
    let mut tour = Tour::new(&vendor, address(&app)?, home.audit_log(), page);
    let (stopped, walked) = event_loop.block_on(async {
        let stop = signals.quit();
        let mut serving = Box::pin(app.run(signals));
        let walked = tokio::select! {
            stopped = &mut serving => return (stopped, None),
            walked = tour.walk() => walked,
        };
        stop.send_replace(true);
        (serving.await, Some(walked))
    });
    let ended = close(event_loop, stopped)?;
    let Some(walked) = walked else {
        return Err(Failure::AtRunTime(
            "stopped before the tour's end".to_owned(),
        ));
    };
    if ended != Ended::Drained {
        return Err(Failure::AtRunTime(
            "the gateway did not drain: requests were cut off, or the audit log was lost"
                .to_owned(),
        ));
    }
    match walked.and_then(|()| tour.look_back()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::AtRunTime(
            "not everything was as expected; see FAILED above".to_owned(),
        )),
        // nobody is left to look at it
        Err(TourError::Page(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::at_run_time(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_may_have_the_admin_listeners_usual_address() {
        assert_eq!(admin_beside(ADMIN), FREE);
    }
}
