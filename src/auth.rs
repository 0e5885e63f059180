//! Who is this? From `Authorization` and `Cookie` to a named, allowed user.
//!
//! In a request's way these modules stand before everything that talks to a backend.

pub mod names;
