//! One thread's way to the shared store, and what is asked over it.

use std::{mem, sync::Arc};

use redis::{Cmd, RedisResult};
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
};

use super::{
    connect::{Connection, Dialer, TlsError},
    link::{Link, Store, StoreAway, StoreState},
    scripts::{Answer, Ask, Charged, Pause, Receipt, Said, Scripts},
};
use crate::{
    config::SharedStore,
    limit::gcra::{MOST_QUOTAS, Rate},
};

/// One thread's way to the shared store.
#[derive(Clone)]
pub struct StoreLink(Arc<Link>);

impl std::fmt::Debug for StoreLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreLink")
    }
}

impl StoreLink {
    /// Begins to connect, on the runtime that calls this.
    ///
    /// # Errors
    /// Where TLS can't be set up. A store that can't be reached is no error.
    pub fn open(settings: &SharedStore) -> Result<Self, TlsError> {
        Ok(Self(Link::open(&Arc::new(store(settings)?))))
    }

    /// Connects once and writes, to see whether that works.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn try_once(settings: &SharedStore) -> Result<(), StoreAway> {
        let store = store(settings).map_err(|error| StoreAway(error.to_string().into()))?;
        store.try_once().await
    }

    /// Another way to the same store, for the runtime that calls this.
    #[must_use]
    pub fn another(&self) -> Self {
        Self(Link::open(&self.0.store))
    }

    /// Whether the store can be used, now and from now on.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<StoreState> {
        self.0.store.states()
    }

    pub(super) fn prefix(&self) -> &str {
        &self.0.store.prefix
    }

    /// Charges all of `asks` or none, whoever still waits for it: what was taken for somebody who
    /// has left is given back.
    pub(super) async fn charge(
        &self,
        pause: Option<Pause>,
        asks: &Arc<[Ask]>,
    ) -> Result<Charged, StoreAway> {
        let (answer, answered) = oneshot::channel();
        let (link, asks) = (self.clone(), Arc::clone(asks));
        drop(tokio::spawn(async move {
            let charged = link.charge_all(pause.as_ref(), &asks).await;
            let unclaimed = charged.map(|charged| Unclaimed {
                link,
                asks,
                charged,
                claimed: false,
            });
            drop(answer.send(unclaimed));
        }));
        match answered.await {
            Ok(unclaimed) => Ok(unclaimed?.claim()),
            Err(_ended) => Err(StoreAway("the process is ending".into())),
        }
    }

    async fn charge_all(&self, pause: Option<&Pause>, asks: &[Ask]) -> Result<Charged, StoreAway> {
        let life = new_number();
        let mut refused = None;
        let charged = self
            .0
            .ask(async |scripts: &Scripts, connection: &mut Connection| {
                if connection.is_whole() {
                    return scripts.charge(connection, pause, asks, life).await;
                }
                let (charged, taken) =
                    charge_one_by_one(scripts, connection, pause, asks, life).await?;
                if charged.is_refused() {
                    refused = Some(charged.clone());
                    give_back(scripts, connection, &taken).await?;
                }
                Ok(charged)
            })
            .await;
        // SECURITY: a no stays a no, also where there was no time to give back what earlier
        // limits had taken; `on_store_failure` might let it through.
        charged.or_else(|away| refused.ok_or(away))
    }

    /// Where the store is away it stays charged.
    pub(super) async fn give_back(&self, receipts: &[Receipt]) {
        let given = self
            .0
            .ask(async |scripts: &Scripts, connection: &mut Connection| {
                give_back(scripts, connection, receipts).await
            })
            .await;
        if let Err(error) = given {
            tracing::debug!(%error, "an attempt that was to be given back stays counted");
        }
    }

    /// Pauses what `name` stands for, for at least so many milliseconds.
    pub(super) async fn pause(&self, name: &str, millis: u64) -> Result<(), StoreAway> {
        self.0
            .ask(async |scripts: &Scripts, connection: &mut Connection| {
                scripts.pause(connection, name, millis).await
            })
            .await
    }

    /// Now, and the times of one key.
    pub(super) async fn standing(
        &self,
        name: &str,
        rates: &[Rate],
    ) -> Result<(u64, [u64; MOST_QUOTAS]), StoreAway> {
        self.0
            .ask(async |scripts: &Scripts, connection: &mut Connection| {
                scripts.standing(connection, name, rates).await
            })
            .await
    }

    /// Begins a new generation under `name`, to be remembered for so many milliseconds.
    pub(super) async fn begin(&self, name: &str, millis: u64) -> Result<(), StoreAway> {
        self.0
            .ask(async |_scripts: &Scripts, connection: &mut Connection| {
                let mut set = Cmd::new();
                set.arg("SET")
                    .arg(name)
                    .arg(new_number())
                    .arg("PX")
                    .arg(millis);
                set.query_async::<()>(connection).await
            })
            .await
    }

    /// Puts keys to rest that are in one place of a cluster: those of one email, or a single one.
    pub(super) async fn clear(&self, names: &[String]) -> Result<(), StoreAway> {
        self.0
            .ask(async |_scripts: &Scripts, connection: &mut Connection| {
                let mut delete = Cmd::new();
                delete.arg("DEL").arg(names);
                delete.query_async::<()>(connection).await
            })
            .await
    }
}

/// What was charged, on its way to whoever asked. Given back where that has left: before it came,
/// or after and before looking.
struct Unclaimed {
    link: StoreLink,
    asks: Arc<[Ask]>,
    charged: Charged,
    claimed: bool,
}

impl Unclaimed {
    fn claim(mut self) -> Charged {
        self.claimed = true;
        mem::take(&mut self.charged)
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if self.claimed {
            return;
        }
        // without a runtime the process is ending
        if let Ok(runtime) = Handle::try_current() {
            let (link, receipts) = (self.link.clone(), receipts(&self.asks, &self.charged));
            drop(runtime.spawn(async move { link.give_back(&receipts).await }));
        }
    }
}

fn store(settings: &SharedStore) -> Result<Store, TlsError> {
    let dialer = Dialer::new(settings)?;
    Ok(Store::new(dialer, &settings.prefix, settings.timeout))
}

/// A number that nothing else has: lives, generations and calls are told apart by it. Below 2^52,
/// for Lua.
fn new_number() -> u64 {
    let (_high, low) = uuid::Uuid::now_v7().as_u64_pair();
    low & ((1 << 52) - 1)
}

/// Charges each of `asks` up to the one that refuses. Says too what was taken.
async fn charge_one_by_one(
    scripts: &Scripts,
    connection: &mut Connection,
    pause: Option<&Pause>,
    asks: &[Ask],
    life: u64,
) -> RedisResult<(Charged, Vec<Receipt>)> {
    let mut all = match pause {
        Some(pause) => scripts.charge(connection, Some(pause), &[], life).await?,
        None => Charged::default(),
    };
    if all.paused > 0 && pause.is_some_and(|pause| pause.enforce) {
        return Ok((all, Vec::new()));
    }
    let mut taken = Vec::with_capacity(asks.len());
    for ask in asks {
        if ask.unless_paused && all.paused > 0 {
            all.answers.push(Answer::SKIPPED);
            continue;
        }
        let one = std::slice::from_ref(ask);
        let said = scripts.charge(connection, None, one, life).await?;
        taken.extend(receipts(one, &said));
        all.wait = said.wait;
        all.answers.extend(said.answers);
        if all.is_refused() {
            break;
        }
    }
    Ok((all, taken))
}

/// What was taken; nothing where one of the limits refused.
pub(super) fn receipts(asks: &[Ask], charged: &Charged) -> Vec<Receipt> {
    if charged.is_refused() {
        return Vec::new();
    }
    let taken = asks.iter().zip(&charged.answers);
    taken
        .filter(|(_ask, answer)| answer.said == Said::Yes)
        .map(|(ask, answer)| Receipt {
            name: ask.name.clone(),
            at: answer.at,
            life: answer.life,
            times: answer.times,
            rates: Arc::clone(&ask.rates),
        })
        .collect()
}

async fn give_back(
    scripts: &Scripts,
    connection: &mut Connection,
    receipts: &[Receipt],
) -> RedisResult<()> {
    if connection.is_whole() {
        return scripts.give_back(connection, receipts, new_number()).await;
    }
    for receipt in receipts {
        scripts
            .give_back(connection, std::slice::from_ref(receipt), new_number())
            .await?;
    }
    Ok(())
}
