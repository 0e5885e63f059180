//! TLS material: keys, certificates and truststores as files hold them, and what rustls makes of
//! them; used by the listeners and towards backends alike.
//!
//! PEM, PKCS#12 and Java's JKS are told apart by their contents, never by a file's name. What is in
//! use can be swapped while connections go on ([`watch`]).

use std::path::PathBuf;

use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

pub(crate) mod certificate;
pub(crate) mod client;
mod jks;
mod pkcs12;
mod socket;
pub(crate) mod store;
mod verify;
pub(crate) mod watch;

pub(crate) use client::{Connector, TlsFault, Trust, TrustSource};
pub(crate) use socket::Socket;
pub(crate) use store::{StoreError, StoreFault};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of keys or certificates.
    #[error("{}. {}", .0, .0.fault.cure())]
    Store(#[from] StoreError),
    /// No truststore, and the system has none either.
    #[error(
        "this machine has no CA certificates: install the package ca-certificates, or set truststore"
    )]
    NoSystemRoots,
    /// rustls refuses, for no reason that a file gives.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// Two PEM files.
    Pem {
        /// The chain, leaf first.
        cert: PathBuf,
        /// The key, not encrypted.
        key: PathBuf,
    },
    /// One file that holds both: PKCS#12, JKS, or PEM.
    Keystore {
        /// The file.
        file: PathBuf,
        /// Its first line is the password of store and key.
        password_file: Option<PathBuf>,
        /// Which entry, where there are several.
        alias: Option<String>,
    },
}

impl KeySource {
    /// The file that names it in messages.
    pub fn file(&self) -> &PathBuf {
        match self {
            Self::Pem { cert, .. } => cert,
            Self::Keystore { file, .. } => file,
        }
    }

    /// Every file of it.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Pem { cert, key } => vec![cert.clone(), key.clone()],
            Self::Keystore {
                file,
                password_file,
                ..
            } => std::iter::once(file)
                .chain(password_file)
                .cloned()
                .collect(),
        }
    }
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MinVersion {
    /// `"1.2"`
    #[default]
    Tls12,
    /// `"1.3"`
    Tls13,
}

impl MinVersion {
    /// As rustls wants it.
    pub fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static FROM_12: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        static FROM_13: &[&SupportedProtocolVersion] = &[&TLS13];
        match self {
            Self::Tls12 => FROM_12,
            Self::Tls13 => FROM_13,
        }
    }
}
