//! Keytab files: MIT's format, read and written without a Kerberos library.
//!
//! Not on the request path: the acceptor loads its keys with it, and `spnegate keytab` lists and
//! merges. The format is documented in MIT krb5's `doc/formats/keytab_file_format.rst`. libkrb5 ends
//! silently (`KRB5_KT_END`) at an entry of which the file has only a part; this reader reports it, so
//! that a half-written file is not taken for a complete one.

mod read;
mod write;

use std::{fmt, io, path::Path, path::PathBuf};

use zeroize::Zeroizing;

use super::Principal;

pub use read::FormatError;

/// An encryption type (RFC 3961 section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Enctype(pub u16);

impl Enctype {
    /// DES, triple DES and RC4: deprecated by RFC 6649 and RFC 8429.
    pub const fn is_weak(self) -> bool {
        matches!(self.0, 1..=16 | 23 | 24)
    }
}

impl fmt::Display for Enctype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            1 => "des-cbc-crc",
            3 => "des-cbc-md5",
            16 => "des3-cbc-sha1",
            17 => "aes128-cts-hmac-sha1-96",
            18 => "aes256-cts-hmac-sha1-96",
            19 => "aes128-cts-hmac-sha256-128",
            20 => "aes256-cts-hmac-sha384-192",
            23 => "arcfour-hmac",
            25 => "camellia128-cts-cmac",
            26 => "camellia256-cts-cmac",
            other => return write!(f, "enctype {other}"),
        })
    }
}

/// One key of a keytab.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The principal that the key belongs to.
    pub principal: Principal,
    /// Name type (RFC 4120 section 6.2); 1 where the file has none.
    pub name_type: u32,
    /// When the entry was written, in seconds since 1970.
    pub timestamp: u32,
    /// Key version number.
    pub kvno: u32,
    /// Encryption type.
    pub enctype: Enctype,
    /// The secret.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            principal,
            kvno,
            enctype,
            ..
        } = self;
        write!(f, "{principal} kvno {kvno} {enctype}")
    }
}

/// The content of a keytab file.
///
/// ```
/// use spnegate::gss::Keytab;
///
/// // an empty file of format 0x0502
/// let keytab = Keytab::parse(b"\x05\x02").unwrap();
/// assert!(keytab.entries.is_empty());
/// assert_eq!(keytab.to_bytes()[..], [5, 2]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keytab {
    /// The keys, in file order.
    pub entries: Vec<Entry>,
}

/// Why a keytab file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeytabError {
    /// There is no such file.
    #[error("keytab {} does not exist; create it or correct kerberos.keytab", .0.display())]
    Missing(PathBuf),
    /// The file may not be read.
    #[error("keytab {} is not readable by this user; give it read permission (chown, chmod 0400)", .0.display())]
    Denied(PathBuf),
    /// Reading failed for another reason.
    #[error("keytab {} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file is not a keytab, or only a part of one.
    #[error("keytab {} is broken; write it again (spnegate keytab merge, ktutil, kadmin)", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
    /// The file holds no key.
    #[error("keytab {} holds no keys; export some (kadmin: ktadd -k FILE PRINCIPAL)", .0.display())]
    Empty(PathBuf),
    /// The Kerberos library refuses the keys.
    #[error("keytab {}: the Kerberos library refuses it: {text}", path.display())]
    Library {
        /// The file.
        path: PathBuf,
        /// The library's message.
        text: String,
    },
}

impl Keytab {
    /// Reads the bytes of a keytab file, format 0x0501 or 0x0502.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        read::parse(bytes)
    }

    /// The bytes of a keytab file, format 0x0502.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        write::to_bytes(self)
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`KeytabError`]; a file without keys is an error too.
    pub fn load(path: &Path) -> Result<Self, KeytabError> {
        let owned = || path.to_path_buf();
        let bytes = match std::fs::read(path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(e) => {
                return Err(match e.kind() {
                    io::ErrorKind::NotFound => KeytabError::Missing(owned()),
                    io::ErrorKind::PermissionDenied => KeytabError::Denied(owned()),
                    _ => KeytabError::Io {
                        path: owned(),
                        source: e,
                    },
                });
            }
        };
        // A file that is about to be written: an own error, which says more than that it is not a
        // keytab.
        if bytes.is_empty() {
            return Err(KeytabError::Empty(owned()));
        }
        let keytab = Self::parse(&bytes).map_err(|source| KeytabError::Format {
            path: owned(),
            source,
        })?;
        if keytab.entries.is_empty() {
            return Err(KeytabError::Empty(owned()));
        }
        Ok(keytab)
    }

    /// Its principals, each once, in file order.
    pub fn principals(&self) -> Vec<Principal> {
        let mut seen: Vec<Principal> = Vec::new();
        for entry in &self.entries {
            if !seen.contains(&entry.principal) {
                seen.push(entry.principal.clone());
            }
        }
        seen
    }

    /// The newest key version of a principal.
    pub fn newest(&self, principal: &Principal) -> Option<u32> {
        self.entries
            .iter()
            .filter(|entry| entry.principal == *principal)
            .map(|entry| entry.kvno)
            .max()
    }
}
