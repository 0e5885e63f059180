//! Blocking calls on threads of their own: a bounded queue, named threads, and a future that waits
//! for the result until a deadline.
//!
//! GSSAPI and the operating system's name service have no asynchronous interface, and may hang for
//! as long as a KDC or a directory does. `spawn_blocking` does not fit: its pool is shared, grows to
//! 512 threads, and has neither a bounded queue nor a share per client address. The acceptor, the
//! initiator and the group look-up (`auth::acl::groups`) each have a [`Queue`] and [`Threads`] of
//! their own, so that one of them that hangs stops no other.

mod queue;
mod reply;
mod threads;

pub(crate) use queue::{PushError, Queue};
pub(crate) use reply::{Reply, ReplyError};
pub(crate) use threads::Threads;
