//! The way of a request: route → console stack.

pub mod host;
pub mod path;
