//! Calls of `HiveServer2`'s Thrift protocol (`TCLIService`), which can name the user.
//!
//! On the request path: the body of a request to a kind that [speaks
//! Thrift](crate::kinds::Kind::speaks_thrift) goes through a [`CallReader`], piece by piece as it
//! arrives. No byte is passed on before it has been checked, and the last one not before the body has
//! ended, because nothing may follow the call.
//!
//! - `OpenSession` is held as a whole, at most [`MAX_HELD`], and the user's name is written into its
//!   `username` (field 2 of `TOpenSessionReq`), replacing any other: impyla and impala-shell send the name
//!   of the local account. Impala uses it if the connection has no login (`ImpalaServer::OpenSession`).
//! - A key that names a user ([`USER_KEYS`]), in any map of any call, is refused unless its value is the
//!   user that the gateway sends; with `identity = "service"` it sends none.
//! - `GetDelegationToken` is held too: its `owner` has to be that user. With `service`, calls for
//!   delegation tokens are refused, because the token would be the gateway's.
//! - Calls that Java and C++ could read in two ways are refused, as is anything that is not a call.
//!
//! `SET` statements are not read: neither server takes the keys from the text of a statement.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};

use crate::refusal::Refusal;

mod read;
mod wire;

use wire::Encoding;

/// The most of a call that is held, in bytes.
pub(crate) const MAX_HELD: usize = 64 * 1024;

/// Configuration keys that name a user, in lower case: Impala reads its own in any case
/// (`boost::iequals`).
pub(crate) const USER_KEYS: &[&str] = &["impala.doas.user", "hive.server2.proxy.user"];

/// The number of `username` in `TOpenSessionReq`.
const USERNAME: u8 = 2;

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThriftError {
    /// It is compressed.
    #[error("a Thrift call that is compressed")]
    Encoded,
    /// Neither of the binary nor of the compact protocol, or not a call.
    #[error("a body that is not a Thrift call")]
    NotThrift,
    /// Servers could read it in two ways.
    #[error("a Thrift call with {0}")]
    Ambiguous(&'static str),
    /// The body ends before the call does.
    #[error("a Thrift call that is cut short")]
    Short,
    /// It has to be held, and is larger than 64 KiB.
    #[error("a Thrift call of more than {} KiB that has to be read as a whole", MAX_HELD / 1024)]
    Large,
    /// It names another user than the one that is logged in.
    #[error("a Thrift call that names another user")]
    Identity,
    /// It requests a token of the gateway itself.
    #[error("a Thrift call for a delegation token of the gateway")]
    Credential,
}

impl From<ThriftError> for Refusal {
    fn from(error: ThriftError) -> Self {
        match error {
            ThriftError::Encoded
            | ThriftError::NotThrift
            | ThriftError::Ambiguous(_)
            | ThriftError::Short
            | ThriftError::Large => Self::BadThrift,
            ThriftError::Identity => Self::ThriftIdentity,
            ThriftError::Credential => Self::CredentialDenied,
        }
    }
}

/// Whose identity the server acts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActingAs {
    /// The user's. The server is sent the user, and the keys may name the same one.
    User,
    /// The gateway's own (`identity = "service"`).
    Gateway,
}

/// Reads the body of one request.
#[derive(Debug)]
pub struct CallReader {
    user: Arc<str>,
    acting_as: ActingAs,
    /// Bytes that have arrived and have not been passed on.
    held: BytesMut,
    /// The number of bytes of `held` that have been read.
    at: usize,
    /// The number of the next bytes that need not be read (the rest of a string).
    skip: u64,
    begun: bool,
    encoding: Encoding,
    method: CallMethod,
    nesting: Vec<Nesting>,
    /// Range of `username` in an `OpenSession`, its length included.
    username: Option<Range<usize>>,
    /// Where the request of an `OpenSession` ends.
    end_of_request: Option<usize>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallMethod {
    OpenSession,
    GetDelegationToken,
    Other,
}

/// A structure that the reader is inside of.
#[derive(Clone, Copy, Debug)]
enum Nesting {
    /// The last field's number, and which of the first 64 have been seen.
    Struct { last: i16, seen: u64 },
    /// This many strings are still to come.
    Strings(u32),
    /// This many keys with values are still to come.
    Pairs(u32),
}

// === impl CallMethod ===

impl CallMethod {
    fn named(name: &[u8], acting_as: ActingAs) -> Result<Self, ThriftError> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let tokens = [
            "GetDelegationToken",
            "CancelDelegationToken",
            "RenewDelegationToken",
        ];
        // Compared without case although Thrift's generated code compares exactly: a refusal too many costs
        // nothing, because no client has a method of that name in another spelling.
        if acting_as == ActingAs::Gateway && tokens.into_iter().any(is) {
            return Err(ThriftError::Credential);
        }
        // Impala serves these to trusted planners: a plan names the user that it runs as.
        if is("ExecutePlannedStatement") || is("InitQueryContext") {
            return Err(ThriftError::Identity);
        }
        Ok(if is("OpenSession") {
            Self::OpenSession
        } else if is("GetDelegationToken") {
            Self::GetDelegationToken
        } else {
            Self::Other
        })
    }

    /// Whether the whole call has to arrive before a byte is passed on.
    fn is_held(self) -> bool {
        match self {
            Self::OpenSession | Self::GetDelegationToken => true,
            Self::Other => false,
        }
    }
}

// === impl CallReader ===

impl CallReader {
    /// Reads a call of this user.
    pub fn new(user: Arc<str>, acting_as: ActingAs) -> Self {
        Self {
            user,
            acting_as,
            held: BytesMut::new(),
            at: 0,
            skip: 0,
            begun: false,
            encoding: Encoding::Binary,
            method: CallMethod::Other,
            nesting: Vec::new(),
            username: None,
            end_of_request: None,
            ended: false,
        }
    }

    /// Takes the bytes that arrived and returns those that may be passed on.
    pub fn feed(&mut self, data: Bytes) -> Result<Bytes, ThriftError> {
        let length = data.len() as u64;
        if self.held.is_empty() && self.skip >= length && !self.method.is_held() {
            // The middle of a long statement, whose bytes need neither a copy nor a look.
            self.skip -= length;
            return Ok(data);
        }
        self.held.extend_from_slice(&data);
        self.read()?;
        if self.method.is_held() {
            return if self.held.len() > MAX_HELD {
                Err(ThriftError::Large)
            } else {
                Ok(Bytes::new())
            };
        }
        // The last byte of a complete call waits for the end of the body. Without it no server runs the
        // call, so that a refusal of what follows still comes in time.
        let checked = self.at - usize::from(self.ended);
        self.at -= checked;
        Ok(self.held.split_to(checked).freeze())
    }

    /// Called at the end of the body; returns the rest of it. An empty body is passed on: clients send
    /// one to test the login.
    pub fn finish(&mut self) -> Result<Bytes, ThriftError> {
        if !self.ended {
            return if self.begun || !self.held.is_empty() {
                Err(ThriftError::Short)
            } else {
                Ok(Bytes::new())
            };
        }
        let held = std::mem::take(&mut self.held).freeze();
        match self.method {
            CallMethod::OpenSession => self.with_username(&held),
            CallMethod::GetDelegationToken | CallMethod::Other => Ok(held),
        }
    }

    /// The `OpenSession` with the user's name as `username`.
    fn with_username(&self, call: &Bytes) -> Result<Bytes, ThriftError> {
        let end = self
            .end_of_request
            .ok_or(ThriftError::Ambiguous("an OpenSession without a request"))?;
        // Replaced where it stands; a missing field is added at the end of the request, where a compact
        // header of any field number is allowed.
        let (cut, field) = match &self.username {
            Some(name) => (name.clone(), false),
            None => (end..end, true),
        };
        let mut written = Vec::with_capacity(call.len() + self.user.len() + 8);
        written.extend_from_slice(&call[..cut.start]);
        if field {
            self.encoding.write_header(&mut written, USERNAME);
        }
        self.encoding.write_text(&mut written, &self.user);
        written.extend_from_slice(&call[cut.end..]);
        Ok(written.into())
    }
}

#[cfg(test)]
mod tests;
