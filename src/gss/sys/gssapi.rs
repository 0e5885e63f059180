//! `gss_*`: failures, names, and credentials from a store.

use std::{ffi::CStr, ptr, slice};

use libgssapi::{credential::Cred, error::Error};
use libgssapi_sys::{
    _GSS_C_INDEFINITE, _GSS_S_BAD_NAME, GSS_C_ACCEPT, GSS_C_GSS_CODE, GSS_C_INITIATE,
    GSS_C_MECH_CODE, gss_OID_desc, gss_OID_set_desc, gss_acquire_cred_from, gss_buffer_desc,
    gss_cred_id_t, gss_display_name, gss_display_status, gss_import_name,
    gss_key_value_element_desc, gss_key_value_set_desc, gss_name_t, gss_release_buffer,
    gss_release_cred, gss_release_name, gss_set_neg_mechs,
};

use crate::gss::Principal;

pub(super) const KRB5: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
const SPNEGO: &[u8] = b"\x2b\x06\x01\x05\x05\x02";
const KRB5_PRINCIPAL_NAME: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01";
/// Calling and routine errors of a major status (RFC 2744 section 3.9.1).
pub(super) const ERROR_MASK: u32 = 0xffff_0000;

const fn oid(ber: &'static [u8]) -> gss_OID_desc {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "object identifiers of a few bytes"
    )]
    gss_OID_desc {
        length: ber.len() as u32,
        elements: ber.as_ptr().cast_mut().cast(),
    }
}

/// Why a GSSAPI or krb5 call failed. The text is read immediately, because the library keeps it for
/// each thread and overwrites it with the next error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Major status without its supplementary bits; 0 for a krb5 call.
    pub major: u32,
    /// Minor status: a krb5 code from the krb5 mechanism, a number of this process from SPNEGO.
    pub minor: i32,
    /// The library's message.
    pub text: String,
}

impl Failure {
    /// No credential is available.
    pub(crate) fn none() -> Self {
        Self {
            major: libgssapi_sys::_GSS_S_NO_CRED,
            minor: 0,
            text: "no credential".to_owned(),
        }
    }

    /// The error of a call that libgssapi made on this thread.
    pub(crate) fn from_error(error: Error) -> Self {
        Self::new(error.major.bits(), error.minor)
    }

    pub(super) fn new(major: u32, minor: u32) -> Self {
        let text = match status_text(minor, GSS_C_MECH_CODE) {
            Some(text) if minor != 0 => text,
            Some(_) | None => {
                status_text(major, GSS_C_GSS_CODE).unwrap_or_else(|| format!("status {major:#x}"))
            }
        };
        Self {
            major: major & ERROR_MASK,
            minor: minor.cast_signed(),
            text,
        }
    }
}

fn status_text(code: u32, kind: u32) -> Option<String> {
    let (mut minor, mut more) = (0, 0);
    let mut buffer = GssBuffer::empty();
    // SAFETY: every out pointer is a live local; a null mechanism asks for the code's own.
    let major = unsafe {
        gss_display_status(
            &raw mut minor,
            code,
            kind.cast_signed(),
            ptr::null_mut(),
            &raw mut more,
            &raw mut buffer.0,
        )
    };
    let text = String::from_utf8_lossy(buffer.bytes()).trim().to_owned();
    (major & ERROR_MASK == 0 && !text.is_empty()).then_some(text)
}

/// A buffer that GSSAPI allocates.
pub(super) struct GssBuffer(pub(super) gss_buffer_desc);

impl GssBuffer {
    pub(super) const fn empty() -> Self {
        Self(gss_buffer_desc {
            length: 0,
            value: ptr::null_mut(),
        })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        if self.0.value.is_null() {
            return &[];
        }
        // SAFETY: GSSAPI set pointer and length of one allocation, released only in `drop`.
        unsafe { slice::from_raw_parts(self.0.value.cast(), self.0.length) }
    }
}

impl Drop for GssBuffer {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: empty, or allocated by GSSAPI and not yet released.
        unsafe { gss_release_buffer(&raw mut minor, &raw mut self.0) };
    }
}

/// Bytes that GSSAPI reads and does not write.
pub(super) fn borrowed(bytes: &[u8]) -> gss_buffer_desc {
    gss_buffer_desc {
        length: bytes.len(),
        value: bytes.as_ptr().cast_mut().cast(),
    }
}

/// A GSSAPI name.
pub(super) struct GssName(pub(super) gss_name_t);

impl GssName {
    fn principal(text: &str) -> Result<Self, Failure> {
        let (mut minor, mut name) = (0, ptr::null_mut());
        let (mut buffer, mut kind) = (borrowed(text.as_bytes()), oid(KRB5_PRINCIPAL_NAME));
        // SAFETY: the buffer and the static OID outlive the call, which copies both.
        let major = unsafe {
            gss_import_name(
                &raw mut minor,
                &raw mut buffer,
                &raw mut kind,
                &raw mut name,
            )
        };
        if major & ERROR_MASK != 0 {
            return Err(Failure::new(major, minor));
        }
        Ok(Self(name))
    }

    pub(super) fn text(&self) -> Result<String, Failure> {
        let (mut minor, mut buffer) = (0, GssBuffer::empty());
        // SAFETY: `self.0` is a name of GSSAPI; a null type pointer is allowed.
        let major =
            unsafe { gss_display_name(&raw mut minor, self.0, &raw mut buffer.0, ptr::null_mut()) };
        if major & ERROR_MASK != 0 {
            return Err(Failure::new(major, minor));
        }
        name_text(buffer.bytes())
    }
}

impl Drop for GssName {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: null, or a name of GSSAPI that is released once.
        unsafe { gss_release_name(&raw mut minor, &raw mut self.0) };
    }
}

/// A name in MIT's text form. Names that are not UTF-8 are refused: replacing their bytes would give
/// two clients the same name.
fn name_text(bytes: &[u8]) -> Result<String, Failure> {
    let text = str::from_utf8(bytes).map_err(|_| Failure {
        major: _GSS_S_BAD_NAME,
        minor: 0,
        text: "a name in the ticket is not UTF-8".to_owned(),
    })?;
    Ok(text.to_owned())
}

/// Which mechanisms a credential gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanisms {
    /// Kerberos alone; its minor codes are krb5's.
    Krb5,
    /// Kerberos, and SPNEGO that negotiates nothing but Kerberos.
    Both,
}

/// A raw credential.
pub(super) struct RawCred(pub(super) gss_cred_id_t);

impl RawCred {
    fn acquire(
        name: Option<&Principal>,
        usage: u32,
        mechanisms: Mechanisms,
        store: &[(&CStr, &CStr)],
    ) -> Result<Self, Failure> {
        let name = name
            .map(|name| GssName::principal(&name.to_string()))
            .transpose()?;
        let mut elements: Vec<gss_key_value_element_desc> = store
            .iter()
            .map(|(key, value)| gss_key_value_element_desc {
                key: key.as_ptr(),
                value: value.as_ptr(),
            })
            .collect();
        #[expect(clippy::cast_possible_truncation, reason = "at most three elements")]
        let store = gss_key_value_set_desc {
            count: elements.len() as u32,
            elements: elements.as_mut_ptr(),
        };
        let mut oids = [oid(KRB5), oid(SPNEGO)];
        let mut wanted = gss_OID_set_desc {
            count: match mechanisms {
                Mechanisms::Krb5 => 1,
                Mechanisms::Both => 2,
            },
            elements: oids.as_mut_ptr(),
        };
        let (mut minor, mut cred) = (0, Self(ptr::null_mut()));
        // SAFETY: name, mechanisms and store are live locals that the call only reads; the
        // credential it writes is owned by `cred`. Null out pointers are allowed.
        let major = unsafe {
            gss_acquire_cred_from(
                &raw mut minor,
                name.as_ref().map_or(ptr::null_mut(), |name| name.0),
                _GSS_C_INDEFINITE,
                &raw mut wanted,
                usage.cast_signed(),
                &raw const store,
                &raw mut cred.0,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        if major & ERROR_MASK != 0 {
            return Err(Failure::new(major, minor));
        }
        if mechanisms == Mechanisms::Both {
            wanted.count = 1;
            // SAFETY: a credential with a SPNEGO element and a live set, which is copied.
            let major = unsafe { gss_set_neg_mechs(&raw mut minor, cred.0, &raw mut wanted) };
            if major & ERROR_MASK != 0 {
                return Err(Failure::new(major, minor));
            }
        }
        Ok(cred)
    }
}

impl Drop for RawCred {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: null, or a credential of ours that is released once.
        unsafe { gss_release_cred(&raw mut minor, &raw mut self.0) };
    }
}

/// Acquires a credential to initiate with; with a `client_keytab` this talks to the KDC.
pub(crate) fn initiate_cred(
    name: Option<&Principal>,
    mechanisms: Mechanisms,
    store: &[(&CStr, &CStr)],
) -> Result<Cred, Failure> {
    let mut raw = RawCred::acquire(name, GSS_C_INITIATE, mechanisms, store)?;
    let cred = std::mem::replace(&mut raw.0, ptr::null_mut());
    // SAFETY: sole ownership passes from `raw`, which is null now, to the `Cred`.
    Ok(unsafe { Cred::from_c(cred) })
}

/// A credential that accepts; used by one thread, since an accept holds its lock.
pub(crate) struct AcceptCred(pub(super) RawCred);

impl AcceptCred {
    /// Acquires it from a keytab (`MEMORY:name`) and a replay cache (`file2:path`, `none:`);
    /// `name` limits it to one principal and makes the key look-up direct.
    pub(crate) fn acquire(
        name: Option<&Principal>,
        keytab: &CStr,
        rcache: &CStr,
    ) -> Result<Self, Failure> {
        let store = [(c"keytab", keytab), (c"rcache", rcache)];
        RawCred::acquire(name, GSS_C_ACCEPT, Mechanisms::Both, &store).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_utf8_are_refused() {
        assert_eq!(name_text("müller@R".as_bytes()).unwrap(), "müller@R");
        for name in [
            &b"al\xfeice@R"[..],
            b"al\xffice@R",
            b"alice\xc3@R",
            b"\xed\xa0\x80@R",
        ] {
            assert!(name_text(name).is_err());
        }
    }
}
