//! Which groups a user is in, by the operating system (`getgrouplist`, hence SSSD, LDAP …).
//!
//! The look-up may hang with the directory behind it: it runs on threads of its own, few and with a
//! bounded queue, and a worker only awaits it.

use std::{
    ffi::CString,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    unistd::{Group, User, getgrouplist},
};
use tokio::{sync::oneshot, time::Timeout};

/// How long an answer of the system is believed.
const FRESH: Duration = Duration::from_secs(60);
/// How long a request waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Users whose groups are remembered.
const USERS: u64 = 10_000;
/// Look-ups that may wait.
const QUEUE: usize = 256;
const THREADS: usize = 2;

/// The names of a user's groups.
pub type GroupNames = Arc<[Box<str>]>;

/// The system's groups; a cheap handle. Its threads end with the last one.
#[derive(Clone)]
pub struct Groups {
    cache: Cache,
    jobs: async_channel::Sender<Job>,
}

type Cache = moka::sync::Cache<Box<str>, GroupNames>;

type Answer = oneshot::Receiver<Result<GroupNames, GroupsError>>;

struct Job {
    user: Box<str>,
    reply: oneshot::Sender<Result<GroupNames, GroupsError>>,
}

/// Why a user's groups are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupsError {
    /// Too many look-ups wait.
    #[error("too many group look-ups wait for the operating system")]
    Busy,
    /// The system did not answer within 5 s.
    #[error("the operating system took too long to say a user's groups")]
    Timeout,
    /// The system's answer was an error.
    #[error("the operating system cannot say a user's groups")]
    System(#[source] Errno),
}

/// A look-up under way.
#[must_use = "futures do nothing unless polled"]
pub(super) struct Asking(State);

enum State {
    Busy,
    Waiting(Pin<Box<Timeout<Answer>>>),
}

// === impl Groups ===

impl Groups {
    /// Starts the threads that ask the system.
    pub fn system() -> io::Result<Self> {
        Self::start(system_groups)
    }

    fn start<F>(look_up: F) -> io::Result<Self>
    where
        F: Fn(&str) -> Result<GroupNames, GroupsError> + Clone + Send + 'static,
    {
        let cache = Cache::builder()
            .max_capacity(USERS)
            .time_to_live(FRESH)
            .build();
        let (jobs, waiting) = async_channel::bounded::<Job>(QUEUE);
        for number in 0..THREADS {
            let (cache, waiting, look_up) = (cache.clone(), waiting.clone(), look_up.clone());
            thread::Builder::new()
                .name(format!("groups-{number}"))
                .spawn(move || {
                    while let Ok(Job { user, reply }) = waiting.recv_blocking() {
                        if reply.is_closed() {
                            continue;
                        }
                        // many requests of one user may have waited
                        let groups = cache.get(&user).map_or_else(|| look_up(&user), Ok);
                        if let Ok(groups) = &groups {
                            cache.insert(user, Arc::clone(groups));
                        }
                        // nobody waits any more: fine
                        let _ = reply.send(groups);
                    }
                })?;
        }
        Ok(Self { cache, jobs })
    }

    /// What is known without asking.
    pub(super) fn known(&self, user: &str) -> Option<GroupNames> {
        self.cache.get(user)
    }

    /// Asks; must be called in a tokio runtime with timers.
    pub(super) fn ask(&self, user: &str) -> Asking {
        let (reply, answer) = oneshot::channel();
        Asking(
            match self.jobs.try_send(Job {
                user: user.into(),
                reply,
            }) {
                Ok(()) => State::Waiting(Box::pin(tokio::time::timeout(PATIENCE, answer))),
                Err(_) => State::Busy,
            },
        )
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

// === impl Asking ===

impl Future for Asking {
    type Output = Result<GroupNames, GroupsError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Busy => Poll::Ready(Err(GroupsError::Busy)),
            State::Waiting(answer) => answer.as_mut().poll(cx).map(|answer| match answer {
                Ok(Ok(groups)) => groups,
                Ok(Err(_)) => Err(GroupsError::Busy),
                Err(_) => Err(GroupsError::Timeout),
            }),
        }
    }
}

/// The names of all groups of a user; none where the system does not know the user.
fn system_groups(user: &str) -> Result<GroupNames, GroupsError> {
    let Ok(name) = CString::new(user) else {
        return Ok(Arc::default());
    };
    // with a name service that is not running (winbind, sss) an unknown name is ENOENT; getpwnam(3)
    // lists both numbers as "not found"
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

    /// alice is in ops, bob's look-up fails, carol's panics nobody and is in none.
    pub(in crate::auth::acl) fn scripted() -> Groups {
        Groups::start(|user| match user {
            "alice" => Ok(Arc::new(["users".into(), "ops".into()])),
            "bob" => Err(GroupsError::System(Errno::EIO)),
            _ => Ok(Arc::default()),
        })
        .unwrap()
    }

    #[tokio::test]
    async fn answers_are_remembered_and_failures_are_not() {
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
        assert!(groups.known("alice").is_none());
        assert!(groups.ask("alice").await.is_ok());
        assert!(groups.known("alice").is_some());
        assert!(groups.ask("alice").await.is_ok());
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
        assert_eq!(
            groups.ask("bob").await,
            Err(GroupsError::System(Errno::EIO))
        );
        assert!(groups.known("bob").is_none());
    }

    #[tokio::test]
    async fn a_hanging_system_fills_a_queue_and_no_more() {
        let (release, held) = async_channel::bounded::<()>(1);
        let groups = Groups::start(move |_| {
            let _ = held.recv_blocking();
            Ok(Arc::default())
        })
        .unwrap();
        let mut waiting = Vec::new();
        loop {
            let asking = groups.ask("alice");
            if matches!(asking.0, State::Busy) {
                assert_eq!(asking.await, Err(GroupsError::Busy));
                break;
            }
            waiting.push(asking);
        }
        assert!((QUEUE..=QUEUE + THREADS).contains(&waiting.len()));
        drop(release);
        for asking in waiting {
            assert!(asking.await.is_ok());
        }
    }

    #[test]
    fn the_system_knows_root_and_not_nobody_at_all() {
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
