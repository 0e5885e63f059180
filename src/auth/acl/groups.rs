//! The groups of a user, from the operating system (`getgrouplist`, which queries SSSD, LDAP and others).
//!
//! The look-up blocks for as long as the directory behind it does not respond, so it runs on threads of
//! its own with a bounded queue, and a worker only awaits the result.

use std::{
    ffi::CString,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use nix::{
    errno::Errno,
    unistd::{Group, User, getgrouplist},
};
use tokio::sync::oneshot;

use crate::gss::blocking::{Queue, Reply, ReplyError, Threads};

/// How long the groups of a user are cached, and so how long a user that was removed from a group keeps
/// access.
const TIME_TO_LIVE: Duration = Duration::from_secs(60);
/// The longest time that a request waits for a look-up.
const DEADLINE: Duration = Duration::from_secs(5);
/// The most users whose groups are cached.
const USERS: u64 = 10_000;
/// The most look-ups that wait for a thread.
const QUEUE: usize = 256;
const THREADS: usize = 2;

/// The names of a user's groups.
pub type GroupNames = Arc<[Box<str>]>;

/// Looks groups up and caches them; cheap to clone. Its threads end when the last clone is dropped.
#[derive(Clone)]
pub struct Groups(Arc<Inner>);

struct Inner {
    core: Arc<GroupsCore>,
    _threads: Threads,
}

/// What the handles and the threads share.
struct GroupsCore {
    cache: moka::sync::Cache<Box<str>, GroupNames>,
    jobs: Queue<GroupsJob>,
}

struct GroupsJob {
    user: Box<str>,
    reply: oneshot::Sender<Result<GroupNames, GroupsError>>,
}

/// Why a user's groups are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupsError {
    /// Too many look-ups wait.
    #[error("too many group look-ups wait for the operating system")]
    Busy,
    /// There was no result within 5 s.
    #[error("the operating system took too long to look up the user's groups")]
    Timeout,
    /// The look-up failed.
    #[error("the operating system cannot look up the user's groups")]
    System(#[source] Errno),
}

/// A look-up in flight.
#[must_use = "futures do nothing unless polled"]
pub(super) struct GroupLookup(Reply<Result<GroupNames, GroupsError>>);

// === impl Groups ===

impl Groups {
    /// Starts the threads.
    pub fn system() -> io::Result<Self> {
        Self::start(system_groups)
    }

    fn start<F>(look_up: F) -> io::Result<Self>
    where
        F: Fn(&str) -> Result<GroupNames, GroupsError> + Clone + Send + 'static,
    {
        let core = Arc::new(GroupsCore {
            cache: moka::sync::Cache::builder()
                .max_capacity(USERS)
                .time_to_live(TIME_TO_LIVE)
                .build(),
            jobs: Queue::new(QUEUE),
        });
        let mut threads = Threads::detached();
        let started = (0..THREADS).try_for_each(|number| {
            let (core, look_up) = (Arc::clone(&core), look_up.clone());
            threads.spawn(format!("groups-{number}"), move || core.run(look_up))
        });
        // Made before the error is returned: dropping it ends the threads that were started.
        let groups = Self(Arc::new(Inner {
            core,
            _threads: threads,
        }));
        started.map(|()| groups)
    }

    /// The groups of a user, if they are cached.
    pub(super) fn cached(&self, user: &str) -> Option<GroupNames> {
        self.0.core.cache.get(user)
    }

    /// Looks the groups of a user up; the future must be polled in a tokio runtime with timers.
    pub(super) fn look_up(&self, user: &str) -> GroupLookup {
        let (reply, result) = oneshot::channel();
        let job = GroupsJob {
            user: user.into(),
            reply,
        };
        GroupLookup(match self.0.core.jobs.push(job, None) {
            Ok(()) => Reply::waiting(result, DEADLINE),
            Err(_) => Reply::ready(Err(GroupsError::Busy)),
        })
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.core.jobs.close();
    }
}

// === impl GroupsCore ===

impl GroupsCore {
    fn run(&self, look_up: impl Fn(&str) -> Result<GroupNames, GroupsError>) {
        while let Some(GroupsJob { user, reply }) = self.jobs.pop() {
            if reply.is_closed() {
                continue;
            }
            // Several requests of one user may have been queued before the first result.
            let cached = self.cache.get(&user);
            let groups = cached.map_or_else(|| look_up(&user), Ok);
            if let Ok(groups) = &groups {
                self.cache.insert(user, Arc::clone(groups));
            }
            // The caller may have gone away; ignore the closed channel.
            let _ = reply.send(groups);
        }
    }
}

// === impl GroupLookup ===

impl Future for GroupLookup {
    type Output = Result<GroupNames, GroupsError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|reply| match reply {
            Ok(groups) => groups,
            Err(ReplyError::Stopped) => Err(GroupsError::Busy),
            Err(ReplyError::Timeout) => Err(GroupsError::Timeout),
        })
    }
}

/// The names of all groups of a user; none if the system does not know the user.
fn system_groups(user: &str) -> Result<GroupNames, GroupsError> {
    let Ok(name) = CString::new(user) else {
        return Ok(Arc::default());
    };
    // With a name service that is configured and not running (winbind, sss) an unknown name is ENOENT;
    // getpwnam(3) lists both numbers as "not found".
    let entry = match User::from_name(user) {
        Ok(Some(entry)) => entry,
        Ok(None) | Err(Errno::ENOENT | Errno::ESRCH) => return Ok(Arc::default()),
        Err(error) => return Err(GroupsError::System(error)),
    };
    let ids = getgrouplist(&name, entry.gid).map_err(GroupsError::System)?;
    let name_of = |id| Group::from_gid(id).map(|group| group.map(|g| g.name.into_boxed_str()));
    let names: Result<Vec<_>, _> = ids.into_iter().map(name_of).collect();
    Ok(names
        .map_err(GroupsError::System)?
        .into_iter()
        .flatten()
        .collect())
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// alice is in ops, bob's look-up fails, all other users are in no group.
    pub(in crate::auth::acl) fn scripted() -> Groups {
        Groups::start(|user| match user {
            "alice" => Ok(Arc::new(["users".into(), "ops".into()])),
            "bob" => Err(GroupsError::System(Errno::EIO)),
            _ => Ok(Arc::default()),
        })
        .unwrap()
    }

    #[tokio::test]
    async fn groups_are_cached_and_failures_are_not() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let groups = Groups::start(|user| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            if user == "bob" {
                Err(GroupsError::System(Errno::EIO))
            } else {
                Ok(Arc::default())
            }
        })
        .unwrap();
        assert!(groups.cached("alice").is_none());
        assert!(groups.look_up("alice").await.is_ok());
        assert!(groups.cached("alice").is_some());
        assert!(groups.look_up("alice").await.is_ok());
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
        assert_eq!(
            groups.look_up("bob").await,
            Err(GroupsError::System(Errno::EIO))
        );
        assert!(groups.cached("bob").is_none());
    }

    #[tokio::test]
    async fn a_look_up_that_hangs_fills_the_bounded_queue() {
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        let groups = Groups::start(move |_| {
            let _ = blocked.lock().unwrap().recv();
            Ok(Arc::default())
        })
        .unwrap();
        let mut waiting = Vec::new();
        loop {
            let lookup = groups.look_up("alice");
            if matches!(lookup.0, Reply::Ready(_)) {
                assert_eq!(lookup.await, Err(GroupsError::Busy));
                break;
            }
            waiting.push(lookup);
        }
        assert!((QUEUE..=QUEUE + THREADS).contains(&waiting.len()));
        drop(release);
        for lookup in waiting {
            assert!(lookup.await.is_ok());
        }
    }

    #[test]
    fn the_system_s_groups_are_read() {
        assert!(
            system_groups("root")
                .unwrap()
                .iter()
                .any(|g| &**g == "root")
        );
        assert!(system_groups("no-such-user-here").unwrap().is_empty());
        assert!(system_groups("nul\0").unwrap().is_empty());
    }
}
