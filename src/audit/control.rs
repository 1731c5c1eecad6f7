//! What happened to the gateway itself and belongs in the audit log.

/// An event of the gateway's own life. The texts are for auditors: no secret, no value of a
/// setting.
#[derive(Clone, Copy, Debug)]
pub enum Control<'a> {
    /// So many records on: a place to hold on to from outside the log.
    Checkpoint,
    /// The environment's credential is good again.
    CredentialBack,
    /// The environment's credential could not be renewed.
    CredentialFailed {
        /// Why the exchange failed.
        error: &'a str,
    },
    /// The gateway takes no new connections and finishes what it has.
    Drain,
    /// What was begun by [`Self::LimitsReset`] could not be done.
    LimitsNotReset {
        /// The email as [`Audit::email`](super::Audit::email) shows it.
        email: &'a str,
        /// Who asked.
        by: &'a str,
        /// Why the store could not be told.
        error: &'a str,
    },
    /// Somebody forgives an email its attempts.
    LimitsReset {
        /// The email as [`Audit::email`](super::Audit::email) shows it.
        email: &'a str,
        /// Who: the address that asked, and why it was trusted.
        by: &'a str,
    },
    /// An output takes records again.
    OutputBack {
        /// The output's name.
        output: &'a str,
    },
    /// An output takes no records.
    OutputLost {
        /// The output's name.
        output: &'a str,
        /// Why the last record did not get through.
        error: &'a str,
    },
    /// The configuration was read again and is in force.
    Reload {
        /// The keys whose values changed.
        changed: &'a [&'a str],
    },
    /// The configuration was read again and refused; the old one stays.
    ReloadRefused {
        /// The keys that are wrong, or can't change while the gateway runs.
        keys: &'a [&'a str],
    },
    /// The gateway has started.
    Start {
        /// The name of the chain.
        chain: &'a str,
        /// Whether it continues an older run's records.
        continued: bool,
        /// Where an unfinished last line was moved.
        torn: Option<&'a str>,
    },
    /// The gateway has stopped: nothing comes after this.
    Stop,
    /// The shared store of the limits answers again.
    StoreBack,
    /// The shared store of the limits can't be reached.
    StoreLost {
        /// Why the last call failed.
        error: &'a str,
    },
}

/// How OCSF's Application Lifecycle and our `unmapped.event` call one.
pub(super) struct Words {
    /// `unmapped.event`.
    pub(super) event: &'static str,
    /// OCSF's activity.
    pub(super) activity: (u16, &'static str),
    /// Whether it is good news.
    pub(super) succeeded: bool,
    /// For people.
    pub(super) message: &'static str,
}

impl Control<'_> {
    #[rustfmt::skip]
    pub(super) const fn words(&self) -> Words {
        let (event, activity, succeeded, message) = match self {
            Self::Checkpoint              => ("checkpoint",        (99, "Checkpoint"),        true,  "checkpoint of the audit chain"),
            Self::CredentialBack          => ("credential-back",   (99, "Credential Back"),   true,  "the environment credential was renewed"),
            Self::CredentialFailed { .. } => ("credential-failed", (99, "Credential Failed"), false, "the environment credential could not be renewed"),
            Self::Drain                   => ("drain",             (99, "Drain"),             true,  "draining: no new connections"),
            Self::LimitsNotReset { .. }   => ("limits-not-reset",  (99, "Limits Not Reset"),  false, "the attempts counted for one email could not be forgiven"),
            Self::LimitsReset { .. }      => ("limits-reset",      (99, "Limits Reset"),      true,  "the attempts counted for one email are forgiven"),
            Self::OutputBack { .. }       => ("output-back",       (99, "Output Back"),       true,  "an audit output takes records again"),
            Self::OutputLost { .. }       => ("output-lost",       (99, "Output Lost"),       false, "an audit output takes no records"),
            Self::Reload { .. }           => ("reload",            (99, "Reload"),            true,  "the configuration was read again"),
            Self::ReloadRefused { .. }    => ("reload-refused",    (99, "Reload"),            false, "the configuration was read again and refused; the old one stays"),
            Self::Start { .. }            => ("start",             (3,  "Start"),             true,  "started"),
            Self::Stop                    => ("stop",              (4,  "Stop"),              true,  "stopped"),
            Self::StoreBack               => ("store-back",        (99, "Store Back"),        true,  "the shared store of the limits answers again"),
            Self::StoreLost { .. }        => ("store-lost",        (99, "Store Lost"),        false, "the shared store of the limits can't be reached"),
        };
        Words { event, activity, succeeded, message }
    }
}
