//! The `spnegate` command.
fn main() {}
