//! `gss::Keytab`: a keytab that was read and written again reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::gss::Keytab;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(keytab) = Keytab::parse(bytes) {
        let written = keytab.to_bytes();
        let again = Keytab::parse(&written).expect("our own file");
        assert_eq!(*again.to_bytes(), *written);
    }
});
