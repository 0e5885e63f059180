//! MIT's replay cache file (`file2:`), kept open.
//!
//! The format is that of MIT krb5 (`src/lib/krb5/rcache/rc_file2.c`,
//! <https://web.mit.edu/kerberos/krb5-devel/doc/formats/rcache_file_format.html>), so the file is shared
//! with every program of this host that uses it, GSSAPI in this process included.
//!
//! MIT opens, locks, searches (two system calls for each table), unlocks and closes the file for each
//! login. This module keeps the file open and reads with one call for each table. MIT's own costs 8 %
//! more CPU for each login (71 µs instead of 65) and 26 system calls instead of 17 (31 pairs of 3,000
//! logins, alternating in one process); Presto's clients log in with every request. Tokens outside the
//! direct path of `thread.rs` use MIT's code on the same file.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::fcntl::{FcntlArg, fcntl};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::{fs::OFlags, process::geteuid};
use siphasher::sip::SipHasher24;

use crate::gss::ap_req::{AuthenticatorTag, TAG_LEN};

/// Bytes of the hash seed at the beginning of the file.
const SEED: usize = 16;
/// Bytes of a record: tag and time.
const RECORD: usize = TAG_LEN + 4;
/// Records of the first table; it ends where the file has 16 KiB, the next has 32 KiB, and so on.
const FIRST: u64 = 1023;
/// MIT's limit on the size of the file (`MAX_SIZE`). Beyond it a table is not searched.
const MAX_SIZE: u64 = i32::MAX as u64;
/// How often the path is compared with the open file.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct ReplayFile {
    path: PathBuf,
    /// The least time that a record is kept, in seconds.
    keep: i32,
    state: Mutex<Option<OpenFile>>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    seed: [u8; SEED],
    checked: Instant,
}

impl ReplayFile {
    /// `clockskew` is the largest accepted difference of clocks, in seconds. An authenticator is
    /// accepted from that much before its time until that much after it, so a record is kept for twice
    /// as long. MIT itself replaces records after one `clockskew` (`expired` in `rc_file2.c`).
    pub(super) fn new(path: &Path, clockskew: u32) -> Self {
        Self {
            path: path.to_owned(),
            keep: i32::try_from(clockskew.saturating_mul(2)).unwrap_or(i32::MAX),
            state: Mutex::new(None),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Records an authenticator; `false` if it is recorded already.
    pub(super) fn insert(&self, tag: &AuthenticatorTag, now: SystemTime) -> io::Result<bool> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // The format has 32 bits for the time (`krb5_timestamp`).
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
        let now = now as u32;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = |open: &mut OpenFile| {
            open.checked.elapsed() >= CHECK_INTERVAL && !open.is_at(&self.path)
        };
        if state.as_mut().is_some_and(gone) {
            *state = None;
        }
        let open = match &mut *state {
            Some(open) => open,
            none @ None => none.insert(OpenFile::new(&self.path)?),
        };
        let _locked = Lock::take(&open.file)?;
        open.insert(tag, now, self.keep)
    }
}

// === impl OpenFile ===

impl OpenFile {
    fn new(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let locked = Lock::take(&file)?;
        let mut seed = [0; SEED];
        if read_up_to(&file, &mut seed, 0)? < SEED {
            let unseeded = |_| io::Error::other("no random bytes for its seed");
            SystemRandom::new().fill(&mut seed).map_err(unseeded)?;
            file.write_all_at(&seed, 0)?;
        }
        drop(locked);
        Ok(Self {
            file,
            seed,
            checked: Instant::now(),
        })
    }

    /// Whether the path still leads to this file, and the seed is still the one that other programs
    /// read in it: `systemd-tmpfiles` removes old files of `/var/tmp`, and an administrator may empty
    /// it.
    fn is_at(&mut self, path: &Path) -> bool {
        self.checked = Instant::now();
        let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        let mut seed = [0; SEED];
        path.symlink_metadata().is_ok_and(|there| {
            self.file
                .metadata()
                .is_ok_and(|here| identity(&here) == identity(&there))
        }) && self.file.read_exact_at(&mut seed, 0).is_ok()
            && seed == self.seed
    }

    fn insert(&self, tag: &AuthenticatorTag, now: u32, keep: i32) -> io::Result<bool> {
        let (mut offset, mut records) = (SEED as u64, FIRST);
        let mut seed = self.seed;
        let mut free = None;
        loop {
            let slot =
                offset + SipHasher24::new_with_key(&seed).hash(tag) % records * RECORD as u64;
            let mut both = [0; 2 * RECORD];
            let read = read_up_to(&self.file, &mut both, slot)?;
            let mut last = false;
            for (number, record) in both.chunks_exact(RECORD).enumerate() {
                let time = record[TAG_LEN..]
                    .first_chunk()
                    .copied()
                    .map_or(0, u32::from_be_bytes);
                let written = read >= (number + 1) * RECORD && time != 0;
                if written && record[..TAG_LEN] == tag[..] {
                    return Ok(false);
                }
                // The 32-bit time wraps around. A time ahead of ours is not old: the clock was set
                // back.
                let old = now.wrapping_sub(time).cast_signed() > keep;
                if !written || old {
                    free.get_or_insert(slot + (number * RECORD) as u64);
                }
                last |= !written;
            }
            // MIT writes to the first free slot: behind one that was never written there is no record.
            if last {
                break;
            }
            offset += records * RECORD as u64;
            records = if records == FIRST {
                2 * (FIRST + 1)
            } else {
                2 * records
            };
            if offset + records * (RECORD as u64) > MAX_SIZE {
                break;
            }
            // Another seed for each table, so that tags that collide in one do not collide in the next.
            seed[0] = seed[0].wrapping_add(1);
        }
        let free = free.ok_or_else(|| io::Error::other("it is full"))?;
        let mut record = [0; RECORD];
        record[..TAG_LEN].copy_from_slice(tag);
        record[TAG_LEN..].copy_from_slice(&now.to_be_bytes());
        self.file.write_all_at(&record, free)?;
        Ok(true)
    }
}

/// Opens the file, or creates one that only this user can read.
pub(super) fn open(path: &Path) -> io::Result<File> {
    // As MIT's default replay cache (`open_file` in `rc_dfl.c`): no symbolic link, and only an own
    // file.
    let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.uid() != geteuid().as_raw() {
        // In `/var/tmp`, another user could create the file first and empty it later to allow replays.
        return Err(io::Error::other("it belongs to another user"));
    }
    Ok(file)
}

/// Reads until the buffer is full or the file ends.
fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// An exclusive lock on the whole file that belongs to this open file description (`F_OFD_SETLKW`), as
/// MIT's do (`ofdlock` in `lock_file.c`). A lock that belongs to the process (`F_SETLKW`) would not
/// exclude MIT's code in this process, and would be released when any descriptor of the file is closed.
struct Lock<'a>(&'a File);

impl<'a> Lock<'a> {
    fn take(file: &'a File) -> io::Result<Self> {
        loop {
            match lock(file, nix::libc::F_WRLCK) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                taken => return taken.map(|()| Self(file)),
            }
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // On failure the lock is released when the file is closed.
        let _ = lock(self.0, nix::libc::F_UNLCK);
    }
}

fn lock(file: &File, kind: nix::libc::c_int) -> io::Result<()> {
    let short = |number| nix::libc::c_short::try_from(number).unwrap_or_default();
    let whole = nix::libc::flock {
        l_type: short(kind),
        l_whence: short(nix::libc::SEEK_SET),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLKW(&whole))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn tag(number: u32) -> AuthenticatorTag {
        let mut tag = [7; TAG_LEN];
        tag[..4].copy_from_slice(&number.to_be_bytes());
        tag
    }

    #[test]
    fn a_record_is_written_where_mit_looks_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rcache2");
        // A seed of our own, so that the offset is known.
        fs::write(&path, [1; SEED]).unwrap();
        let cache = ReplayFile::new(&path, 300);
        assert!(cache.insert(&tag(1), at(0x0102_0304)).unwrap());
        let content = fs::read(&path).unwrap();
        let slot = SipHasher24::new_with_key(&[1; SEED]).hash(&tag(1)) % 1023;
        let offset = SEED + usize::try_from(slot).unwrap() * RECORD;
        let record = [&tag(1)[..], &[1, 2, 3, 4]].concat();
        assert_eq!(content[offset..], record);
    }

    #[test]
    fn thousands_of_records_are_shared_by_all_users_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rcache2");
        let (one, other) = (ReplayFile::new(&path, 300), ReplayFile::new(&path, 300));
        // more than the first two tables hold
        for number in 0..5000 {
            let cache = if number % 2 == 0 { &one } else { &other };
            assert!(cache.insert(&tag(number), at(1000)).unwrap(), "{number}");
        }
        for number in 0..5000 {
            assert!(!one.insert(&tag(number), at(1001)).unwrap(), "{number}");
        }
        // Another process, later.
        assert!(
            !ReplayFile::new(&path, 300)
                .insert(&tag(4999), at(1002))
                .unwrap()
        );
    }

    #[test]
    fn records_are_replaced_after_twice_the_clock_skew_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rcache2");
        let cache = ReplayFile::new(&path, 300);
        let fill = |numbers: std::ops::Range<u32>, time| {
            for number in numbers {
                cache.insert(&tag(number), at(time)).unwrap();
            }
            fs::metadata(&path).unwrap().len()
        };
        let before = fill(0..3000, 1000);
        let early = fill(3000..6000, 1600);
        assert!(early > before, "{early}");
        assert_eq!(fill(6000..9000, 2201), early, "only old slots");
        // A clock that was set back forgets nothing.
        assert!(!cache.insert(&tag(8000), at(100)).unwrap());
        assert_eq!(fill(9000..9001, 100), early);
        assert!(!cache.insert(&tag(9000), at(101)).unwrap());
    }

    #[test]
    fn a_file_that_was_removed_is_created_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rcache2");
        let cache = ReplayFile::new(&path, 300);
        assert!(cache.insert(&tag(1), at(1000)).unwrap());
        fs::remove_file(&path).unwrap();
        cache.check_now();
        assert!(cache.insert(&tag(2), at(1000)).unwrap());
        assert!(
            !ReplayFile::new(&path, 300)
                .insert(&tag(2), at(1000))
                .unwrap()
        );
        // Emptied in place: another program writes another seed.
        File::create(&path).unwrap();
        assert!(
            ReplayFile::new(&path, 300)
                .insert(&tag(3), at(1000))
                .unwrap()
        );
        cache.check_now();
        assert!(!cache.insert(&tag(3), at(1000)).unwrap());
    }

    #[test]
    fn a_file_that_cannot_be_created_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let cache = ReplayFile::new(&dir.path().join("no/rcache2"), 300);
        assert!(cache.insert(&tag(1), at(1000)).is_err());
    }

    impl ReplayFile {
        fn check_now(&self) {
            if let Some(open) = &mut *self.state.lock().unwrap() {
                open.checked -= CHECK_INTERVAL;
            }
        }
    }

    proptest! {
        // Whatever the file contains, authenticators are recorded in it.
        #[test]
        fn any_content_is_read_without_a_panic(content in prop::collection::vec(any::<u8>(), 0..40_000), numbers in prop::collection::vec(any::<u32>(), 1..50)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("rcache2");
            fs::write(&path, content).unwrap();
            let cache = ReplayFile::new(&path, 300);
            for number in numbers {
                let _ = cache.insert(&tag(number), at(1000)).unwrap();
                prop_assert!(!cache.insert(&tag(number), at(1000)).unwrap());
            }
        }
    }
}
