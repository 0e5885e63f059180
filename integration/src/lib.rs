//! The lab of real servers.
