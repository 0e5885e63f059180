//! Attempts at backends: everything between a request that may pass and the answer to it.
//!
//! [`group`] knows the servers of a console and picks one, [`probe`] and [`login`] keep that
//! knowledge fresh off the workers, [`pool`] holds a worker's connections, which speak [`http1`], and
//! [`attempt`] is the one loop for everything that is tried again.

pub mod attempt;
pub mod backend;
pub mod body;
pub mod client;
pub mod group;
pub mod http1;
pub mod login;
pub mod looks;
pub mod next;
pub mod pool;
pub mod probe;
pub mod rewritten;
pub mod upload;
pub mod wire;
