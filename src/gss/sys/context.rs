//! `gss_accept_sec_context`: the acceptor's side of a login.

use std::{ptr, slice};

use libgssapi_sys::{
    _GSS_S_CONTINUE_NEEDED, gss_OID, gss_accept_sec_context, gss_ctx_id_t, gss_delete_sec_context,
    gss_inquire_context,
};

use super::gssapi::{AcceptCred, ERROR_MASK, Failure, GssBuffer, GssName, KRB5, borrowed};

/// The result of one `gss_accept_sec_context`.
pub(crate) enum ContextStep {
    Done {
        /// Of the context, in seconds.
        lifetime: u32,
        /// The mutual authentication token for the client.
        reply: Option<Vec<u8>>,
    },
    /// The token for the client, which has to send another one.
    Continue(Vec<u8>),
}

/// The acceptor's side of a security context.
#[derive(Debug)]
pub(crate) struct AcceptContext(gss_ctx_id_t);

// SAFETY: a context may be used by any thread, though by one at a time (RFC 2744); there is no
// `Sync` and every use takes `&mut self`.
unsafe impl Send for AcceptContext {}

impl Default for AcceptContext {
    fn default() -> Self {
        Self::new()
    }
}

impl AcceptContext {
    pub(crate) const fn new() -> Self {
        Self(ptr::null_mut())
    }

    /// Processes one token. Once the context is complete, writes the client's principal in MIT's text
    /// form to `name_out`, if there is one: that takes as long as everything else.
    pub(crate) fn step(
        &mut self,
        cred: &AcceptCred,
        token: &[u8],
        name_out: Option<&mut String>,
    ) -> Result<ContextStep, Failure> {
        let (mut minor, mut lifetime) = (0, 0);
        let mut token = borrowed(token);
        let (mut client, mut reply) = (GssName(ptr::null_mut()), GssBuffer::empty());
        let source = match name_out {
            Some(_) => &raw mut client.0,
            None => ptr::null_mut(),
        };
        let mut mechanism: gss_OID = ptr::null_mut();
        // SAFETY: the context is null or ours, the credential lives, the token is only read, and
        // all out pointers are null or live locals that own what is written to them.
        let major = unsafe {
            gss_accept_sec_context(
                &raw mut minor,
                &raw mut self.0,
                cred.0.0,
                &raw mut token,
                ptr::null_mut(),
                source,
                &raw mut mechanism,
                &raw mut reply.0,
                ptr::null_mut(),
                &raw mut lifetime,
                ptr::null_mut(),
            )
        };
        if major & ERROR_MASK != 0 {
            return Err(Failure::new(major, minor));
        }
        let token = reply.bytes().to_vec();
        if major & _GSS_S_CONTINUE_NEEDED != 0 {
            return Ok(ContextStep::Continue(token));
        }
        // SAFETY: null or a static mechanism OID (RFC 2744 section 5.1).
        if !unsafe { is_oid(mechanism, KRB5) } {
            return Err(Failure {
                major: libgssapi_sys::_GSS_S_BAD_MECH,
                minor: 0,
                text: "the negotiated mechanism is not Kerberos".to_owned(),
            });
        }
        if let Some(text) = name_out {
            *text = client.text()?;
        }
        Ok(ContextStep::Done {
            lifetime,
            reply: (!token.is_empty()).then_some(token),
        })
    }

    /// The principal of the key that an established context was made with, in MIT's text form.
    pub(crate) fn target(&mut self) -> Result<String, Failure> {
        let (mut minor, mut name) = (0, GssName(ptr::null_mut()));
        // SAFETY: the context is ours; null out pointers are allowed.
        let major = unsafe {
            gss_inquire_context(
                &raw mut minor,
                self.0,
                ptr::null_mut(),
                &raw mut name.0,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        if major & ERROR_MASK != 0 {
            return Err(Failure::new(major, minor));
        }
        name.text()
    }
}

impl Drop for AcceptContext {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: null or ours, deleted once; a null output token is allowed.
        unsafe { gss_delete_sec_context(&raw mut minor, &raw mut self.0, ptr::null_mut()) };
    }
}

unsafe fn is_oid(oid: gss_OID, ber: &[u8]) -> bool {
    if oid.is_null() {
        return false;
    }
    // SAFETY: the caller passes null or a valid OID.
    unsafe { slice::from_raw_parts((*oid).elements.cast::<u8>(), (*oid).length as usize) == ber }
}
