//! The calls of the bare loop: credentials from a keytab in memory, and accepting.
//!
//! Its own, not the gateway's, so that what is compared shares no code.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char, c_void},
    ptr,
};

use anyhow::{Result, bail, ensure};
use libgssapi_sys::{
    _GSS_C_INDEFINITE, GSS_C_ACCEPT, GSS_S_COMPLETE, gss_OID_desc, gss_accept_sec_context,
    gss_acquire_cred_from, gss_buffer_desc, gss_cred_id_t, gss_delete_sec_context, gss_import_name,
    gss_key_value_element_desc, gss_key_value_set_desc, gss_release_buffer, gss_release_cred,
    gss_release_name,
};

const KRB5_PRINCIPAL_NAME: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01";
const MEMORY: &CStr = c"MEMORY:bare";

/// `krb5_keytab_entry`, whose parts are passed on and not looked at.
#[repr(C)]
struct KeytabEntry {
    magic: i32,
    principal: *mut c_void,
    timestamp: i32,
    vno: u32,
    key: [u64; 3],
}

#[link(name = "krb5")]
unsafe extern "C" {
    fn krb5_init_context(context: *mut *mut c_void) -> i32;
    fn krb5_kt_resolve(context: *mut c_void, name: *const c_char, out: *mut *mut c_void) -> i32;
    fn krb5_kt_start_seq_get(
        context: *mut c_void,
        keytab: *mut c_void,
        cursor: *mut *mut c_void,
    ) -> i32;
    fn krb5_kt_next_entry(
        context: *mut c_void,
        keytab: *mut c_void,
        entry: *mut KeytabEntry,
        cursor: *mut *mut c_void,
    ) -> i32;
    fn krb5_kt_end_seq_get(
        context: *mut c_void,
        keytab: *mut c_void,
        cursor: *mut *mut c_void,
    ) -> i32;
    fn krb5_kt_add_entry(context: *mut c_void, keytab: *mut c_void, entry: *mut KeytabEntry)
    -> i32;
    fn krb5_free_keytab_entry_contents(context: *mut c_void, entry: *mut KeytabEntry) -> i32;
}

/// A copy of a keytab in memory, which stays as long as the process.
#[derive(Debug)]
pub(super) struct Keytab(());

impl Keytab {
    /// Loads a file.
    pub(super) fn load(path: &str) -> Result<Keytab> {
        let path = CString::new(path)?;
        let (mut context, mut file, mut memory) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let mut cursor = ptr::null_mut();
        // SAFETY: all out pointers are live locals, each handle is made by the call before the one
        // that uses it. Context and keytabs are left to the end of the process, which is near.
        unsafe {
            check(krb5_init_context(&raw mut context))?;
            check(krb5_kt_resolve(context, path.as_ptr(), &raw mut file))?;
            check(krb5_kt_resolve(context, MEMORY.as_ptr(), &raw mut memory))?;
            check(krb5_kt_start_seq_get(context, file, &raw mut cursor))?;
        }
        loop {
            let mut entry = KeytabEntry {
                magic: 0,
                principal: ptr::null_mut(),
                timestamp: 0,
                vno: 0,
                key: [0; 3],
            };
            // SAFETY: handles and cursor are live; the entry is filled by the first call, copied by
            // the second and emptied by the third.
            unsafe {
                if krb5_kt_next_entry(context, file, &raw mut entry, &raw mut cursor) != 0 {
                    break;
                }
                check(krb5_kt_add_entry(context, memory, &raw mut entry))?;
                check(krb5_free_keytab_entry_contents(context, &raw mut entry))?;
            }
        }
        // SAFETY: the cursor was made for this keytab and is not used any more.
        check(unsafe { krb5_kt_end_seq_get(context, file, &raw mut cursor) })?;
        Ok(Keytab(()))
    }
}

fn check(code: i32) -> Result<()> {
    ensure!(code == 0, "the keytab cannot be loaded: krb5 error {code}");
    Ok(())
}

/// A credential that accepts for one principal.
#[derive(Debug)]
pub(super) struct Credential(gss_cred_id_t);

// SAFETY: GSSAPI's credentials may be used by any thread (RFC 2744 section 1.2); this one is by one.
unsafe impl Send for Credential {}

impl Credential {
    /// Acquires it from the copy in memory, with a replay cache (`file2:path`).
    pub(super) fn acquire(principal: &str, _: &Keytab, rcache: &str) -> Result<Credential> {
        let rcache = CString::new(rcache)?;
        let mut elements =
            [(c"keytab", MEMORY), (c"rcache", rcache.as_c_str())].map(|(key, value)| {
                gss_key_value_element_desc {
                    key: key.as_ptr(),
                    value: value.as_ptr(),
                }
            });
        let store = gss_key_value_set_desc {
            count: 2,
            elements: elements.as_mut_ptr(),
        };
        let mut kind = gss_OID_desc {
            length: u32::try_from(KRB5_PRINCIPAL_NAME.len())?,
            elements: KRB5_PRINCIPAL_NAME.as_ptr().cast_mut().cast(),
        };
        let mut text = borrowed(principal.as_bytes());
        let (mut minor, mut name) = (0, ptr::null_mut());
        let mut credential = Credential(ptr::null_mut());
        // SAFETY: text, kind and store are live locals that the calls only read; name and
        // credential are live locals that own what is written to them; other pointers may be null.
        let major = unsafe {
            let major =
                gss_import_name(&raw mut minor, &raw mut text, &raw mut kind, &raw mut name);
            if major != GSS_S_COMPLETE {
                bail!("{principal} is no name of a principal");
            }
            let major = gss_acquire_cred_from(
                &raw mut minor,
                name,
                _GSS_C_INDEFINITE,
                ptr::null_mut(),
                GSS_C_ACCEPT.cast_signed(),
                &raw const store,
                &raw mut credential.0,
                ptr::null_mut(),
                ptr::null_mut(),
            );
            gss_release_name(&raw mut minor, &raw mut name);
            major
        };
        ensure!(
            major == GSS_S_COMPLETE,
            "no credential for {principal}: {major:#x}, {minor}"
        );
        Ok(credential)
    }

    /// Accepts one token.
    pub(super) fn accept(&mut self, token: &[u8]) -> Result<()> {
        let mut token = borrowed(token);
        let (mut minor, mut context) = (0, ptr::null_mut());
        let (mut client, mut reply) = (ptr::null_mut(), borrowed(&[]));
        reply.value = ptr::null_mut();
        // SAFETY: the credential lives, the token is only read, context, client and reply are live
        // locals; what the first call makes the others release, which take null as well.
        let major = unsafe {
            let major = gss_accept_sec_context(
                &raw mut minor,
                &raw mut context,
                self.0,
                &raw mut token,
                ptr::null_mut(),
                &raw mut client,
                ptr::null_mut(),
                &raw mut reply,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            );
            let mut ignored = 0;
            gss_release_buffer(&raw mut ignored, &raw mut reply);
            gss_release_name(&raw mut ignored, &raw mut client);
            gss_delete_sec_context(&raw mut ignored, &raw mut context, ptr::null_mut());
            major
        };
        ensure!(
            major == GSS_S_COMPLETE,
            "a token was not accepted: {major:#x}, {minor}"
        );
        Ok(())
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: null, or a credential of ours that is released once.
        unsafe { gss_release_cred(&raw mut minor, &raw mut self.0) };
    }
}

/// Bytes that GSSAPI reads and does not write.
fn borrowed(bytes: &[u8]) -> gss_buffer_desc {
    gss_buffer_desc {
        length: bytes.len(),
        value: bytes.as_ptr().cast_mut().cast(),
    }
}
