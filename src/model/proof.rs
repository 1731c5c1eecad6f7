//! What a connection proves of its other end.

/// What the other end of a connection has proven by opening it, whatever its requests show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The names in its client certificate, which was verified; `None`: it showed none.
    pub certificate: Option<CertificateNames>,
    /// The user that it ran as when it connected to a unix socket.
    pub uid: Option<u32>,
}

/// The names in a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// Its SPIFFE ID, if it has one.
    pub spiffe_id: Option<Box<str>>,
    /// Its DNS names, lower case.
    pub dns: Vec<Box<str>>,
}
