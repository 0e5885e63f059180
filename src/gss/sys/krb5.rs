//! `krb5_*`: the library's context and settings, and keytabs that live in memory.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_long, c_void},
    fmt,
    path::Path,
    process, ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::gss::keytab::Entry;

use super::Failure;

/// `krb5_keyblock`
#[repr(C)]
struct Keyblock {
    magic: i32,
    enctype: i32,
    length: u32,
    contents: *mut u8,
}

/// `krb5_keytab_entry`
#[repr(C)]
struct KeytabEntry {
    magic: i32,
    principal: *mut c_void,
    timestamp: i32,
    vno: u32,
    key: Keyblock,
}

#[link(name = "krb5")]
unsafe extern "C" {
    fn krb5_init_context(context: *mut *mut c_void) -> i32;
    fn krb5_free_context(context: *mut c_void);
    fn krb5_get_error_message(context: *mut c_void, code: i32) -> *const c_char;
    fn krb5_free_error_message(context: *mut c_void, text: *const c_char);
    fn krb5_parse_name(context: *mut c_void, name: *const c_char, out: *mut *mut c_void) -> i32;
    fn krb5_free_principal(context: *mut c_void, principal: *mut c_void);
    fn krb5_kt_resolve(context: *mut c_void, name: *const c_char, out: *mut *mut c_void) -> i32;
    fn krb5_kt_add_entry(context: *mut c_void, keytab: *mut c_void, entry: *mut KeytabEntry)
    -> i32;
    fn krb5_kt_close(context: *mut c_void, keytab: *mut c_void) -> i32;
    fn krb5_get_profile(context: *mut c_void, out: *mut *mut c_void) -> i32;
    fn profile_get_integer(
        profile: *mut c_void,
        section: *const c_char,
        key: *const c_char,
        subkey: *const c_char,
        default: c_int,
        out: *mut c_int,
    ) -> c_long;
    fn profile_release(profile: *mut c_void);
}

/// MIT's default of `clockskew`, in seconds.
const CLOCKSKEW: u32 = 300;

/// The largest accepted difference of clocks in seconds: `clockskew` of `krb5.conf`.
pub(crate) fn clockskew() -> Result<u32, Failure> {
    let context = Krb5Context::new()?;
    let (mut profile, mut seconds) = (ptr::null_mut(), 0);
    // SAFETY: live context; the out pointer is a live local.
    context.check(unsafe { krb5_get_profile(context.0, &raw mut profile) })?;
    // SAFETY: the profile was made above and is released once; the texts are static, a null subkey
    // ends the path, the out pointer is a live local.
    let code = unsafe {
        let code = profile_get_integer(
            profile,
            c"libdefaults".as_ptr(),
            c"clockskew".as_ptr(),
            ptr::null(),
            CLOCKSKEW.cast_signed(),
            &raw mut seconds,
        );
        profile_release(profile);
        code
    };
    // MIT also uses its default for a value that it cannot parse.
    Ok(match code {
        0 => u32::try_from(seconds).unwrap_or(CLOCKSKEW),
        _ => CLOCKSKEW,
    })
}

/// A krb5 library context.
pub(super) struct Krb5Context(pub(super) *mut c_void);

impl Krb5Context {
    pub(super) fn new() -> Result<Self, Failure> {
        let mut context = ptr::null_mut();
        // SAFETY: the out pointer is a live local.
        let code = unsafe { krb5_init_context(&raw mut context) };
        if code != 0 {
            return Err(Failure {
                major: 0,
                minor: code,
                text: format!("krb5.conf cannot be used (krb5 error {code})"),
            });
        }
        Ok(Self(context))
    }

    pub(super) fn check(&self, code: i32) -> Result<(), Failure> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the context is live; the text is copied before it is freed by its own function.
        let text = unsafe {
            let raw = krb5_get_error_message(self.0, code);
            let text = CStr::from_ptr(raw).to_string_lossy().into_owned();
            krb5_free_error_message(self.0, raw);
            text
        };
        Err(Failure {
            major: 0,
            minor: code,
            text,
        })
    }
}

impl Drop for Krb5Context {
    fn drop(&mut self) {
        // SAFETY: made by krb5_init_context, freed once.
        unsafe { krb5_free_context(self.0) };
    }
}

/// A name that is unique in this process: libkrb5 shares MEMORY objects of one name.
pub(super) fn unique() -> CString {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("MEMORY:spnegate-{}-{number}", process::id());
    CString::new(name).unwrap_or_default()
}

/// A keytab in memory. libkrb5 frees the keys when this and the last credential acquired from it are
/// dropped.
pub(crate) struct MemoryKeytab {
    context: Krb5Context,
    keytab: *mut c_void,
    name: CString,
}

// SAFETY: context and handle are used by one thread at a time: `&self` methods touch neither.
unsafe impl Send for MemoryKeytab {}
// SAFETY: as above; what `&self` gives out is the name only.
unsafe impl Sync for MemoryKeytab {}

impl MemoryKeytab {
    /// Makes a keytab of these entries.
    pub(crate) fn new<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, Failure> {
        let context = Krb5Context::new()?;
        let name = unique();
        let mut keytab = ptr::null_mut();
        // SAFETY: live context and C string; the out pointer is a live local.
        context.check(unsafe { krb5_kt_resolve(context.0, name.as_ptr(), &raw mut keytab) })?;
        let made = Self {
            context,
            keytab,
            name,
        };
        for entry in entries {
            made.add(entry)?;
        }
        Ok(made)
    }

    fn add(&self, entry: &Entry) -> Result<(), Failure> {
        let context = &self.context;
        let principal = CString::new(entry.principal.to_string()).unwrap_or_default();
        let mut parsed = ptr::null_mut();
        // SAFETY: live context and C string; the out pointer is a live local.
        context
            .check(unsafe { krb5_parse_name(context.0, principal.as_ptr(), &raw mut parsed) })?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a key has at most 65,535 bytes"
        )]
        let mut raw = KeytabEntry {
            magic: 0,
            principal: parsed,
            timestamp: entry.timestamp.cast_signed(),
            vno: entry.kvno,
            key: Keyblock {
                magic: 0,
                enctype: i32::from(entry.enctype.0),
                length: entry.key.len() as u32,
                contents: entry.key.as_ptr().cast_mut(),
            },
        };
        // SAFETY: the keytab is open and copies the entry, which lives until the call returns; the
        // principal was made above and is freed once.
        let code = unsafe {
            let code = krb5_kt_add_entry(context.0, self.keytab, &raw mut raw);
            krb5_free_principal(context.0, parsed);
            code
        };
        context.check(code)
    }

    /// `MEMORY:…`, for a credential store.
    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }
}

impl Drop for MemoryKeytab {
    fn drop(&mut self) {
        // SAFETY: opened in `new`, closed once; MIT frees the keys with the last reference.
        unsafe { krb5_kt_close(self.context.0, self.keytab) };
    }
}

impl fmt::Debug for MemoryKeytab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryKeytab").field(&self.name).finish()
    }
}

/// `FILE:path`, for a credential store.
pub(crate) fn file_name(path: &Path) -> Option<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new([b"FILE:", path.as_os_str().as_bytes()].concat()).ok()
}
