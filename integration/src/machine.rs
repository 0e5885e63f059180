//! The machine: processes, names and addresses, waiting, progress.

pub mod names;
pub(crate) mod process;
pub(crate) mod progress;
pub(crate) mod sys;
pub mod wait;
