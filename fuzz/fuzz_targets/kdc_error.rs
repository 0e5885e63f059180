//! A KDC's refusal of an account: text and data of a KRB-ERROR.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::gss::AccountStatus;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (text, data) = input;
    let account = AccountStatus::read(text, data);
    // what stands behind the first element changes nothing
    if !data.is_empty() && account != AccountStatus::Refused {
        let longer = [data, b"\x30\x03\x02\x01\x00"].concat();
        assert_eq!(AccountStatus::read(text, &longer), account);
    }
});
