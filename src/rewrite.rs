//! What a backend's answer says about addresses and cookies, in the client's terms.
//!
//! In a request's way: after the attempt, before the answer goes out.

pub mod addresses;
pub mod consoles;
pub mod json;
pub mod link;
pub mod location;
pub mod node;
pub mod own_link;
pub mod pages;
pub mod set_cookie;
pub mod url;
