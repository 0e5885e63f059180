//! Progress messages of the lab: one line per event on standard error.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Prints a line with the time since the first one.
pub fn say(line: &str) {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let since = BEGIN.get_or_init(Instant::now).elapsed();
    eprintln!("lab {:6.1} s  {line}", since.as_secs_f64());
}

/// Prints a line with the duration of the step.
pub fn took(line: &str, time: Duration) {
    say(&format!("{line}, {:.1} s", time.as_secs_f64()));
}
