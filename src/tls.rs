//! TLS for listeners and for connections to backends: reads keys, certificates and truststores from
//! files and builds rustls configurations from them.
//!
//! PEM, PKCS#12 and Java's JKS are distinguished by their contents, never by a file's name. Changed
//! files are reloaded without closing connections ([`watch`]).

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
    /// A file of keys or certificates cannot be used.
    #[error("{}. {}", .0, .0.fault.cure())]
    Store(#[from] StoreError),
    /// Neither the console nor the operating system has a truststore.
    #[error(
        "this machine has no CA certificates: install the package ca-certificates, or set truststore"
    )]
    NoSystemRoots,
    /// rustls rejects the configuration for a reason that no file causes.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// The files of a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// Two PEM files.
    Pem {
        /// The chain, leaf first.
        cert: PathBuf,
        /// The unencrypted key.
        key: PathBuf,
    },
    /// One file that contains both: PKCS#12, JKS, or PEM.
    Keystore {
        /// The file.
        file: PathBuf,
        /// Its first line is the password of store and key.
        password_file: Option<PathBuf>,
        /// The entry to use, where there are several keys.
        alias: Option<String>,
    },
}

impl KeySource {
    /// The file to name in messages.
    pub fn file(&self) -> &PathBuf {
        match self {
            Self::Pem { cert, .. } => cert,
            Self::Keystore { file, .. } => file,
        }
    }

    /// All files, for `watch`.
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

/// The oldest TLS version that is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MinVersion {
    /// `"1.2"`
    #[default]
    Tls12,
    /// `"1.3"`
    Tls13,
}

impl MinVersion {
    /// The versions, for rustls.
    pub fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static FROM_12: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        static FROM_13: &[&SupportedProtocolVersion] = &[&TLS13];
        match self {
            Self::Tls12 => FROM_12,
            Self::Tls13 => FROM_13,
        }
    }
}
