//! `krb5_init_creds_*`: the details of a KDC's error for a client. GSSAPI passes on the error code alone.

use std::{
    ffi::{CStr, CString, c_char, c_void},
    ptr, slice,
};

use super::{Failure, krb5::Krb5Context};
use crate::gss::Principal;

/// `krb5_data`
#[repr(C)]
struct Data {
    magic: i32,
    length: u32,
    bytes: *const u8,
}

/// `krb5_error`, a KRB-ERROR (RFC 4120 section 5.9.1)
#[repr(C)]
struct KrbError {
    magic: i32,
    ctime: i32,
    cusec: i32,
    susec: i32,
    stime: i32,
    error: u32,
    client: *mut c_void,
    server: *mut c_void,
    text: Data,
    e_data: Data,
}

#[link(name = "krb5")]
unsafe extern "C" {
    fn krb5_parse_name(context: *mut c_void, name: *const c_char, out: *mut *mut c_void) -> i32;
    fn krb5_free_principal(context: *mut c_void, principal: *mut c_void);
    fn krb5_kt_resolve(context: *mut c_void, name: *const c_char, out: *mut *mut c_void) -> i32;
    fn krb5_kt_close(context: *mut c_void, keytab: *mut c_void) -> i32;
    fn krb5_init_creds_init(
        context: *mut c_void,
        client: *mut c_void,
        prompter: *mut c_void,
        data: *mut c_void,
        start_time: i32,
        options: *mut c_void,
        out: *mut *mut c_void,
    ) -> i32;
    fn krb5_init_creds_set_keytab(
        context: *mut c_void,
        exchange: *mut c_void,
        keytab: *mut c_void,
    ) -> i32;
    fn krb5_init_creds_get(context: *mut c_void, exchange: *mut c_void) -> i32;
    fn krb5_init_creds_get_error(
        context: *mut c_void,
        exchange: *mut c_void,
        out: *mut *mut KrbError,
    ) -> i32;
    fn krb5_init_creds_free(context: *mut c_void, exchange: *mut c_void);
    fn krb5_free_error(context: *mut c_void, error: *mut KrbError);
}

/// `e-text` and `e-data` of a KRB-ERROR. The message is not authenticated: use it for texts only.
#[derive(Clone, Debug, Default)]
pub(crate) struct KdcErrorDetails {
    pub(crate) text: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// Requests a ticket-granting ticket and returns the details of the KDC's error, `None` if there is none.
/// The ticket is dropped.
///
/// For a client whose account has just been refused: the KDC checks the account before the key, so this
/// does not count as a login with a wrong key.
pub(crate) fn kdc_error_details(
    client: &Principal,
    keytab: &CStr,
) -> Result<Option<KdcErrorDetails>, Failure> {
    let context = Krb5Context::new()?;
    let name = CString::new(client.to_string()).unwrap_or_default();
    let mut exchange = InitCreds::new(&context);
    // SAFETY: live context and C strings; the out pointers are live fields, released by `exchange`.
    unsafe {
        context.check(krb5_parse_name(
            context.0,
            name.as_ptr(),
            &raw mut exchange.client,
        ))?;
        context.check(krb5_kt_resolve(
            context.0,
            keytab.as_ptr(),
            &raw mut exchange.keytab,
        ))?;
        context.check(krb5_init_creds_init(
            context.0,
            exchange.client,
            ptr::null_mut(),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            &raw mut exchange.handle,
        ))?;
        context.check(krb5_init_creds_set_keytab(
            context.0,
            exchange.handle,
            exchange.keytab,
        ))?;
        if krb5_init_creds_get(context.0, exchange.handle) == 0 {
            return Ok(None);
        }
        context.check(krb5_init_creds_get_error(
            context.0,
            exchange.handle,
            &raw mut exchange.error,
        ))?;
    }
    if exchange.error.is_null() {
        return Ok(None);
    }
    // SAFETY: made by the call above and freed by `exchange` only.
    let error = unsafe { &*exchange.error };
    Ok(Some(KdcErrorDetails {
        text: bytes(&error.text),
        data: bytes(&error.e_data),
    }))
}

fn bytes(data: &Data) -> Vec<u8> {
    if data.bytes.is_null() {
        return Vec::new();
    }
    // SAFETY: krb5 set pointer and length of one allocation that lives as long as the error.
    unsafe { slice::from_raw_parts(data.bytes, data.length as usize) }.to_vec()
}

/// The objects of an exchange, freed with it; null until they are made.
struct InitCreds<'a> {
    context: &'a Krb5Context,
    client: *mut c_void,
    keytab: *mut c_void,
    handle: *mut c_void,
    error: *mut KrbError,
}

impl<'a> InitCreds<'a> {
    const fn new(context: &'a Krb5Context) -> Self {
        Self {
            context,
            client: ptr::null_mut(),
            keytab: ptr::null_mut(),
            handle: ptr::null_mut(),
            error: ptr::null_mut(),
        }
    }
}

impl Drop for InitCreds<'_> {
    fn drop(&mut self) {
        let context = self.context.0;
        // SAFETY: each is null or made by krb5 and freed once; the exchange before what it refers to.
        unsafe {
            if !self.error.is_null() {
                krb5_free_error(context, self.error);
            }
            if !self.handle.is_null() {
                krb5_init_creds_free(context, self.handle);
            }
            if !self.keytab.is_null() {
                krb5_kt_close(context, self.keytab);
            }
            if !self.client.is_null() {
                krb5_free_principal(context, self.client);
            }
        }
    }
}
