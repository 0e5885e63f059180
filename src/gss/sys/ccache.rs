//! `krb5_cc_*`: credential caches that live in memory under names of their own.

use std::{
    ffi::{CStr, CString, c_char, c_void},
    ptr,
};

use super::{
    Failure,
    krb5::{Krb5Context, unique},
};

#[link(name = "krb5")]
unsafe extern "C" {
    fn krb5_cc_resolve(context: *mut c_void, name: *const c_char, out: *mut *mut c_void) -> i32;
    fn krb5_cc_destroy(context: *mut c_void, ccache: *mut c_void) -> i32;
    fn krb5_cc_close(context: *mut c_void, ccache: *mut c_void) -> i32;
    fn krb5_cc_get_principal(
        context: *mut c_void,
        ccache: *mut c_void,
        out: *mut *mut c_void,
    ) -> i32;
    fn krb5_cc_initialize(context: *mut c_void, ccache: *mut c_void, principal: *mut c_void)
    -> i32;
    fn krb5_cc_copy_creds(context: *mut c_void, from: *mut c_void, to: *mut c_void) -> i32;
    fn krb5_unparse_name(
        context: *mut c_void,
        principal: *mut c_void,
        out: *mut *mut c_char,
    ) -> i32;
    fn krb5_free_unparsed_name(context: *mut c_void, name: *mut c_char);
    fn krb5_free_principal(context: *mut c_void, principal: *mut c_void);
}

/// A credential cache in memory; destroyed with this.
#[derive(Debug)]
pub(crate) struct MemoryCcache(CString);

impl MemoryCcache {
    pub(crate) fn new() -> Self {
        Self(unique())
    }

    /// `MEMORY:…`, for a credential store.
    pub(crate) fn name(&self) -> &CStr {
        &self.0
    }

    /// A second cache of the same client with the same tickets. Tickets that are fetched later go
    /// into the one that they are fetched with.
    pub(crate) fn copy(&self) -> Result<Self, Failure> {
        let context = Krb5Context::new()?;
        let (from, copy) = (OpenCcache::new(&context, &self.0)?, Self::new());
        let client = from.client()?;
        let to = OpenCcache::new(&context, &copy.0)?;
        // SAFETY: live context, handles and principal.
        context.check(unsafe { krb5_cc_initialize(context.0, to.handle, client.principal) })?;
        // SAFETY: live context and handles.
        context.check(unsafe { krb5_cc_copy_creds(context.0, from.handle, to.handle) })?;
        Ok(copy)
    }

    /// The client whose tickets these are, in MIT's text form: the name that the KDC has for it,
    /// where `canonicalize` is set in `krb5.conf`.
    pub(crate) fn client(&self) -> Result<String, Failure> {
        let context = Krb5Context::new()?;
        let ccache = OpenCcache::new(&context, &self.0)?;
        let client = ccache.client()?;
        let mut raw = ptr::null_mut();
        // SAFETY: live context and principal; the out pointer is a live local.
        context.check(unsafe { krb5_unparse_name(context.0, client.principal, &raw mut raw) })?;
        // SAFETY: a C string of krb5, copied before it is freed by its own function.
        let text = unsafe {
            let text = CStr::from_ptr(raw).to_string_lossy().into_owned();
            krb5_free_unparsed_name(context.0, raw);
            text
        };
        Ok(text)
    }
}

/// A handle to a credential cache, closed with this.
struct OpenCcache<'a> {
    context: &'a Krb5Context,
    handle: *mut c_void,
}

/// A principal of krb5, freed with this.
struct OwnedPrincipal<'a> {
    context: &'a Krb5Context,
    principal: *mut c_void,
}

impl<'a> OpenCcache<'a> {
    fn new(context: &'a Krb5Context, name: &CStr) -> Result<Self, Failure> {
        let mut handle = ptr::null_mut();
        // SAFETY: live context and C string; the out pointer is a live local.
        context.check(unsafe { krb5_cc_resolve(context.0, name.as_ptr(), &raw mut handle) })?;
        Ok(Self { context, handle })
    }

    fn client(&self) -> Result<OwnedPrincipal<'a>, Failure> {
        let (context, mut principal) = (self.context, ptr::null_mut());
        // SAFETY: live context and handle; the out pointer is a live local.
        let code = unsafe { krb5_cc_get_principal(context.0, self.handle, &raw mut principal) };
        context.check(code)?;
        Ok(OwnedPrincipal { context, principal })
    }
}

impl Drop for OpenCcache<'_> {
    fn drop(&mut self) {
        // SAFETY: opened in `new`, closed once.
        unsafe { krb5_cc_close(self.context.0, self.handle) };
    }
}

impl Drop for OwnedPrincipal<'_> {
    fn drop(&mut self) {
        // SAFETY: made by krb5, freed once.
        unsafe { krb5_free_principal(self.context.0, self.principal) };
    }
}

impl Drop for MemoryCcache {
    fn drop(&mut self) {
        let Ok(context) = Krb5Context::new() else {
            return;
        };
        let mut ccache = ptr::null_mut();
        // SAFETY: live context and C string; destroy also closes the handle that resolve opened.
        unsafe {
            if krb5_cc_resolve(context.0, self.0.as_ptr(), &raw mut ccache) == 0 {
                krb5_cc_destroy(context.0, ccache);
            }
        }
    }
}
