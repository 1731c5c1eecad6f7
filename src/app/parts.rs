//! What the process is made of, put together from the settings.

use std::{io, sync::Arc};

use governor::clock::DefaultClock;
use tokio::{sync::watch, task::JoinSet};

use super::{
    announce, keys,
    threads::{self, Thread},
};
use crate::{
    audit::{Audit, AuditLog, OpenError},
    caller::Callers,
    config::{Limits, Loaded, SecretSource, Settings, Store, is_within},
    credential::Credentials,
    edge::{AdminState, IdentityError, Key, ListenError, Phase},
    gateway::{Gateway, Secrets, Services},
    jwks::Keeper,
    limit::{HashKey, Limiter, LimitsError, NoRandomness, StoreLink, TlsError},
    net::{Connector, SetupError},
    telemetry::{
        metrics::Metrics,
        traces::{Exporter, ExporterError, Traces},
    },
    upstream::{AddressProof, Upstream},
};

/// Why the process can't start, or a reload can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The audit log can't be opened.
    #[error(transparent)]
    Audit(#[from] OpenError),
    /// A limit can't be kept.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// An address can't be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The way to the vendor can't be set up.
    #[error(transparent)]
    Net(#[from] SetupError),
    /// The system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// A secret can't be read any more.
    #[error("{key} can't be read: {cause}")]
    Secret {
        /// The key of the configuration that names it.
        key: &'static str,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Replicas that hash under different keys would count apart.
    #[error("limits.key is needed with a shared store")]
    SharedKey,
    /// TLS to the shared store can't be set up.
    #[error(transparent)]
    Store(#[from] TlsError),
    /// The system gives no thread.
    #[error("a serving thread can't be started: {0}")]
    Thread(#[source] io::Error),
    /// A listener's certificate can't be used.
    #[error("listen.tls: {0}")]
    Tls(#[from] IdentityError),
    /// Traces can't be exported.
    #[error(transparent)]
    Traces(#[from] ExporterError),
}

/// What serves, and what it shares.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) audit: AuditLog,
    pub(super) metrics: Arc<Metrics>,
    /// Told again when a reload changed them.
    services: watch::Sender<Services>,
    /// What opens the admin listener's guarded endpoints.
    admin_key: watch::Sender<Option<Key>>,
    /// The credential's refresher.
    refreshing: JoinSet<()>,
    /// The sweeps of the limits' table.
    sweeping: JoinSet<()>,
    /// Who tells the audit log of the credential and of the shared store.
    telling: JoinSet<()>,
    /// Of the keys that tokens are verified with.
    key_keepers: JoinSet<()>,
    /// Takes traces to the collector.
    exporter: Option<Exporter>,
    /// The accepting thread's.
    pub(super) here: Worker,
    /// The other threads'.
    pub(super) others: Vec<(Thread, Worker)>,
}

/// Where records and traces go.
#[derive(Debug)]
pub(super) struct Sinks {
    audit: AuditLog,
    exporter: Option<Exporter>,
}

/// One thread's gateway, exchanged by a reload.
#[derive(Debug)]
pub(super) struct Worker {
    audit: Audit,
    upstream: Arc<Upstream>,
    /// This thread's own way to the shared store.
    link: Option<StoreLink>,
    pub(super) gateway: watch::Sender<Arc<Gateway>>,
}

impl Parts {
    /// Opens the audit log and puts everything together; the keepers begin their work.
    pub(super) async fn assemble(settings: &Settings) -> Result<Self, StartError> {
        let (keys, link) = store(&settings.limits)?;
        let limiter = Limiter::new(&settings.limits, keys, DefaultClock::default())?;
        let limiter = Arc::new(limiter.through(link));
        let (credentials, refresher) = Credentials::new(&settings.frontegg)?;
        let connector = Connector::to_identity(&settings.frontegg)?;
        let secrets = secrets(settings)?;
        let metrics = Arc::new(Metrics::new());
        let (token_keys, key_keepers) = keys::keep(settings)?;
        let (traces, exporter) = exporter(settings, &metrics)?.unzip();
        let services = Services {
            limiter,
            credentials,
            token_keys,
            metrics: Arc::clone(&metrics),
            traces,
        };
        let audit = AuditLog::open(&settings.audit).await?;

        let worker = || Worker::new(settings, &secrets, &services, audit.worker(), &connector);
        let here = worker();
        let mut others = Vec::new();
        for _ in 1..threads::wanted() {
            let thread = Thread::start().map_err(StartError::Thread)?;
            let worker = thread.within(worker);
            others.push((thread, worker));
        }
        let (mut refreshing, mut sweeping) = (JoinSet::new(), JoinSet::new());
        refreshing.spawn(refresher.run());
        sweeping.spawn(Arc::clone(&services.limiter).sweep_forever());
        let mut telling = JoinSet::new();
        if let Some(link) = services.limiter.link() {
            let audit = here.audit.clone();
            telling.spawn(announce::store(link.states(), audit, Arc::clone(&metrics)));
        }
        let services = watch::Sender::new(services);
        telling.spawn(announce::credential(
            services.subscribe(),
            here.audit.clone(),
        ));
        Ok(Self {
            audit,
            metrics,
            services,
            admin_key: watch::Sender::new(admin_key(settings)?),
            refreshing,
            sweeping,
            telling,
            key_keepers: key_keepers.into_iter().map(Keeper::run).collect(),
            exporter,
            here,
            others,
        })
    }

    /// What the admin listener reports on.
    pub(super) fn state(
        &self,
        settings: &Settings,
        phase: watch::Receiver<Phase>,
        config: watch::Receiver<Arc<Loaded>>,
        quit: Arc<watch::Sender<bool>>,
    ) -> AdminState {
        let admin = settings.admin.as_ref();
        AdminState {
            phase,
            services: self.services.subscribe(),
            audit: self.here.audit.clone(),
            config,
            quit: admin.is_some_and(|admin| admin.quit).then_some(quit),
            key: self.admin_key.subscribe(),
        }
    }

    /// Goes on with other settings. What a reload can't change was compared before.
    pub(super) async fn reload(
        &mut self,
        settings: &Settings,
        changed: &[String],
    ) -> Result<(), StartError> {
        let vendor_changed = changed.iter().any(|key| is_within(key, "frontegg"));
        let (secrets, admin_key) = (secrets(settings)?, admin_key(settings)?);
        let mut services = self.services.borrow().clone();
        services.limiter = Arc::new(services.limiter.reload(&settings.limits)?);
        let mut connector = None;
        let mut refreshing = JoinSet::new();
        let mut key_keepers = None;
        if keys::must_change(changed, settings, &services.token_keys) {
            let (token_keys, found) = keys::keep(settings)?;
            services.token_keys = token_keys;
            key_keepers = Some(found);
        }
        if vendor_changed {
            let (credentials, mut refresher) = Credentials::new(&settings.frontegg)?;
            if !is_another_environment(changed) {
                // the vendor may be away just now
                refresher = refresher.going_on_from(&services.credentials);
            }
            connector = Some(Connector::to_identity(&settings.frontegg)?);
            services.credentials = credentials;
            refreshing.spawn(refresher.run());
        }
        // nothing fails from here on
        if vendor_changed {
            self.refreshing.shutdown().await;
            self.refreshing = refreshing;
        }
        if let Some(found) = key_keepers {
            self.key_keepers.shutdown().await;
            self.key_keepers = found.into_iter().map(Keeper::run).collect();
        }
        self.sweeping.shutdown().await;
        self.sweeping
            .spawn(Arc::clone(&services.limiter).sweep_forever());
        for worker in std::iter::once(&mut self.here)
            .chain(self.others.iter_mut().map(|(_thread, worker)| worker))
        {
            worker.replace(settings, &secrets, &services, connector.as_ref());
        }
        self.audit.reload(&settings.audit);
        self.services.send_replace(services);
        self.admin_key.send_replace(admin_key);
        Ok(())
    }

    /// Ends the other threads, and what runs beside requests. Leaves open where records and traces
    /// go, for what is still in flight on this one.
    pub(super) async fn end(mut self) -> Sinks {
        self.refreshing.shutdown().await;
        self.sweeping.shutdown().await;
        self.telling.shutdown().await;
        self.key_keepers.shutdown().await;
        for (thread, _worker) in self.others {
            thread.join();
        }
        Sinks {
            audit: self.audit,
            exporter: self.exporter,
        }
    }
}

impl Sinks {
    /// Brings what there is to where it goes.
    pub(super) async fn close(self) {
        if let Some(exporter) = self.exporter {
            exporter.end().await;
        }
        if let Err(error) = self.audit.close().await {
            tracing::error!(%error, "the audit log is not whole");
        }
    }
}

impl Worker {
    fn new(
        settings: &Settings,
        secrets: &Secrets,
        services: &Services,
        audit: Audit,
        connector: &Connector,
    ) -> Self {
        let upstream = Arc::new(Upstream::new(connector.clone()));
        let link = services.limiter.link().map(StoreLink::another);
        let gateway = Gateway::new(
            settings,
            secrets.clone(),
            of_thread(services, link.as_ref()),
            audit.clone(),
            Arc::clone(&upstream),
        );
        Self {
            audit,
            upstream,
            link,
            gateway: watch::Sender::new(Arc::new(gateway)),
        }
    }

    /// New requests find the new gateway; those under way finish with the old one.
    fn replace(
        &mut self,
        settings: &Settings,
        secrets: &Secrets,
        services: &Services,
        connector: Option<&Connector>,
    ) {
        if let Some(connector) = connector {
            self.upstream = Arc::new(Upstream::new(connector.clone()));
        }
        let (audit, upstream) = (self.audit.clone(), Arc::clone(&self.upstream));
        let services = of_thread(services, self.link.as_ref());
        let gateway = Gateway::new(settings, secrets.clone(), services, audit, upstream);
        self.gateway.send_replace(Arc::new(gateway));
    }
}

/// What is shared, with a thread's own way to the shared store.
fn of_thread(services: &Services, link: Option<&StoreLink>) -> Services {
    let mut services = services.clone();
    if link.is_some() {
        services.limiter = Arc::new(services.limiter.through(link.cloned()));
    }
    services
}

/// Whether the credential is another's, or of somebody whom we don't trust any more.
fn is_another_environment(changed: &[String]) -> bool {
    changed
        .iter()
        .any(|key| ENVIRONMENT.contains(&key.as_str()))
}

/// The keys that say whose the credential is, and of whom it is had.
const ENVIRONMENT: [&str; 8] = [
    "frontegg.api_key",
    "frontegg.api_key_file",
    "frontegg.auth_url",
    "frontegg.ca_file",
    "frontegg.client_id",
    "frontegg.client_id_file",
    "frontegg.domain",
    "frontegg.region",
];

/// The key that emails are hashed under, and the way to the shared store. A key that is made here
/// is no other replica's, so a shared store never has one.
fn store(limits: &Limits) -> Result<(HashKey, Option<StoreLink>), StartError> {
    let key = limits.key.as_ref().map(SecretSource::read).transpose();
    let key = key.map_err(secret("limits.key"))?;
    let key = key.as_ref().map(HashKey::from_secret);
    match (&limits.store, key) {
        (Store::Memory, Some(key)) => Ok((key, None)),
        (Store::Memory, None) => Ok((HashKey::random()?, None)),
        (Store::Shared(store), Some(key)) => Ok((key, Some(StoreLink::open(store)?))),
        (Store::Shared(_), None) => Err(StartError::SharedKey),
    }
}

fn exporter(
    settings: &Settings,
    metrics: &Arc<Metrics>,
) -> Result<Option<(Traces, Exporter)>, ExporterError> {
    let collector = settings.telemetry.collector.as_ref();
    let start = |collector| Exporter::start(collector, Arc::clone(metrics));
    collector.map(start).transpose()
}

fn secrets(settings: &Settings) -> Result<Secrets, StartError> {
    let callers = Callers::new(&settings.callers).map_err(secret("callers.token"))?;
    let address_proof = AddressProof::read(&settings.frontegg)
        .map_err(secret("frontegg.client_ip.shared_secret"))?;
    Ok(Secrets {
        callers: Arc::new(callers),
        address_proof,
    })
}

fn admin_key(settings: &Settings) -> Result<Option<Key>, StartError> {
    let admin = settings.admin.as_ref();
    let key = admin.and_then(|admin| admin.key.as_ref());
    let key = key.map(SecretSource::read).transpose();
    Ok(key.map_err(secret("admin.key"))?.as_ref().map(Key::new))
}

fn secret(key: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |cause| StartError::Secret { key, cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::is_known;

    #[test]
    fn each_key_of_the_environment_is_one() {
        assert!(ENVIRONMENT.iter().all(|path| is_known(path)));
    }
}
