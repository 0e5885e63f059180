//! `config::parse`: any text gives a configuration or a list of problems.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match spnegate::parse(text, Path::new("/nonexistent/fuzz.toml")) {
        Ok(_) => {}
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
});
