//! MIT's replay cache file (`file2:`), kept open.
//!
//! The format is MIT krb5's (its documentation, "Replay cache file format"), so that the file is shared
//! with every program of this host that names it, GSSAPI in this process among them. MIT opens, locks,
//! searches by two system calls a table, unlocks and closes it for each login, which is a sixth of
//! what a login takes; this keeps it open, and reads by one call a table.

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

use crate::gss::ap_req::{TAG, Tag};

/// Bytes of the hash seed at the beginning of the file.
const SEED: usize = 16;
/// Bytes of a record: tag and time.
const RECORD: usize = TAG + 4;
/// Records of the first table; it ends where the file has 16 KiB, the next has 32 KiB, and so on.
const FIRST: u64 = 1023;
/// MIT's limit on the size of the file.
const MAX_SIZE: u64 = i32::MAX as u64;
/// How often it is seen whether the name still means the open file.
const LOOK: Duration = Duration::from_secs(1);

/// The open file.
#[derive(Debug)]
pub(super) struct ReplayFile {
    path: PathBuf,
    /// How long a record is kept at least, in seconds.
    keep: i32,
    state: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    file: File,
    seed: [u8; SEED],
    looked: Instant,
}

impl ReplayFile {
    /// `clockskew` is how far clocks may be apart, in seconds: an authenticator can be used from so
    /// much before its time until so much after it, so a record is kept for twice as long.
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

    /// Enters an authenticator; `false` if it is known.
    pub(super) fn enter(&self, tag: &Tag, now: SystemTime) -> io::Result<bool> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // as MIT writes it
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
        let now = now as u32;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = |open: &mut Open| open.looked.elapsed() >= LOOK && !open.is_at(&self.path);
        if state.as_mut().is_some_and(gone) {
            *state = None;
        }
        let open = match &mut *state {
            Some(open) => open,
            none @ None => none.insert(Open::new(&self.path)?),
        };
        let _locked = Lock::take(&open.file)?;
        open.enter(tag, now, self.keep)
    }
}

// === impl Open ===

impl Open {
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
            looked: Instant::now(),
        })
    }

    /// Whether this is still what the path names, with the seed that others read in it.
    fn is_at(&mut self, path: &Path) -> bool {
        self.looked = Instant::now();
        let place = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        let mut seed = [0; SEED];
        path.symlink_metadata().is_ok_and(|there| {
            self.file
                .metadata()
                .is_ok_and(|here| place(&here) == place(&there))
        }) && self.file.read_exact_at(&mut seed, 0).is_ok()
            && seed == self.seed
    }

    fn enter(&self, tag: &Tag, now: u32, keep: i32) -> io::Result<bool> {
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
                let time = record[TAG..]
                    .first_chunk()
                    .copied()
                    .map_or(0, u32::from_be_bytes);
                let written = read >= (number + 1) * RECORD && time != 0;
                if written && record[..TAG] == tag[..] {
                    return Ok(false);
                }
                // clocks go round; a time ahead of ours is not old
                let old = now.wrapping_sub(time).cast_signed() > keep;
                if !written || old {
                    free.get_or_insert(slot + (number * RECORD) as u64);
                }
                last |= !written;
            }
            // where nothing was ever written, a later table has no record of it
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
            seed[0] = seed[0].wrapping_add(1);
        }
        let free = free.ok_or_else(|| io::Error::other("it is full"))?;
        let mut record = [0; RECORD];
        record[..TAG].copy_from_slice(tag);
        record[TAG..].copy_from_slice(&now.to_be_bytes());
        self.file.write_all_at(&record, free)?;
        Ok(true)
    }
}

/// Opens it, or makes one that only this user can read.
pub(super) fn open(path: &Path) -> io::Result<File> {
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
        // in a directory for all, another user could empty it
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

/// An exclusive lock on the whole file, of this open file alone: MIT's own locks, in this process too,
/// exclude it and are excluded.
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
        // closing the file would do it as well
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

    fn tag(number: u32) -> Tag {
        let mut tag = [7; TAG];
        tag[..4].copy_from_slice(&number.to_be_bytes());
        tag
    }

    #[test]
    fn a_record_stands_where_mit_looks_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rcache2");
        // so that every program finds the same seed
        fs::write(&path, [1; SEED]).unwrap();
        let cache = ReplayFile::new(&path, 300);
        assert!(cache.enter(&tag(1), at(0x0102_0304)).unwrap());
        let content = fs::read(&path).unwrap();
        let slot = SipHasher24::new_with_key(&[1; SEED]).hash(&tag(1)) % 1023;
        let offset = SEED + usize::try_from(slot).unwrap() * RECORD;
        let record = [&tag(1)[..], &[1, 2, 3, 4]].concat();
        assert_eq!(content[offset..], record);
    }

    #[test]
    fn thousands_are_known_to_everybody_who_has_the_file_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rcache2");
        let (one, other) = (ReplayFile::new(&path, 300), ReplayFile::new(&path, 300));
        // more than the first two tables hold
        for number in 0..5000 {
            let cache = if number % 2 == 0 { &one } else { &other };
            assert!(cache.enter(&tag(number), at(1000)).unwrap(), "{number}");
        }
        for number in 0..5000 {
            assert!(!one.enter(&tag(number), at(1001)).unwrap(), "{number}");
        }
        // another process, after all have ended
        assert!(
            !ReplayFile::new(&path, 300)
                .enter(&tag(4999), at(1002))
                .unwrap()
        );
    }

    #[test]
    fn records_give_way_after_twice_the_clock_skew_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rcache2");
        let cache = ReplayFile::new(&path, 300);
        let fill = |numbers: std::ops::Range<u32>, time| {
            for number in numbers {
                cache.enter(&tag(number), at(time)).unwrap();
            }
            fs::metadata(&path).unwrap().len()
        };
        let before = fill(0..3000, 1000);
        let early = fill(3000..6000, 1600);
        assert!(early > before, "{early}");
        assert_eq!(fill(6000..9000, 2201), early, "nothing but old places");
        // a clock that was put back forgets nothing
        assert!(!cache.enter(&tag(8000), at(100)).unwrap());
        assert_eq!(fill(9000..9001, 100), early);
        assert!(!cache.enter(&tag(9000), at(101)).unwrap());
    }

    #[test]
    fn a_file_that_was_taken_away_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rcache2");
        let cache = ReplayFile::new(&path, 300);
        assert!(cache.enter(&tag(1), at(1000)).unwrap());
        fs::remove_file(&path).unwrap();
        cache.look_now();
        assert!(cache.enter(&tag(2), at(1000)).unwrap());
        assert!(
            !ReplayFile::new(&path, 300)
                .enter(&tag(2), at(1000))
                .unwrap()
        );
        // emptied in place: another program gives it another seed
        File::create(&path).unwrap();
        assert!(
            ReplayFile::new(&path, 300)
                .enter(&tag(3), at(1000))
                .unwrap()
        );
        cache.look_now();
        assert!(!cache.enter(&tag(3), at(1000)).unwrap());
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let cache = ReplayFile::new(&dir.path().join("no/rcache2"), 300);
        assert!(cache.enter(&tag(1), at(1000)).is_err());
    }

    impl ReplayFile {
        fn look_now(&self) {
            if let Some(open) = &mut *self.state.lock().unwrap() {
                open.looked -= LOOK;
            }
        }
    }

    proptest! {
        // whatever the file holds, it is read without a fault, and remembers
        #[test]
        fn any_content_is_endured(content in prop::collection::vec(any::<u8>(), 0..40_000), numbers in prop::collection::vec(any::<u32>(), 1..50)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("rcache2");
            fs::write(&path, content).unwrap();
            let cache = ReplayFile::new(&path, 300);
            for number in numbers {
                let _ = cache.enter(&tag(number), at(1000)).unwrap();
                prop_assert!(!cache.enter(&tag(number), at(1000)).unwrap());
            }
        }
    }
}
