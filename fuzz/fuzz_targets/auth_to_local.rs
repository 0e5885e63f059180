//! `auth::names`: any rules compile or are rejected, and the result is always a simple name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::{
    auth::names::{AuthToLocal, Mechanism},
    gss::Principal,
};

fuzz_target!(|input: (&str, &str)| {
    let (rules, principal) = input;
    let Ok(names) = AuthToLocal::compile(&[rules], Mechanism::Hadoop, "R") else {
        return;
    };
    // what may be wrong with them can be said of any rules
    let _ = names.review();
    let Ok(principal) = principal.parse::<Principal>() else {
        return;
    };
    if let Ok(name) = names.map(&principal) {
        assert!(!name.is_empty() && name.trim() == name && !name.contains(['/', '@', '\0', '\n']));
    }
});
