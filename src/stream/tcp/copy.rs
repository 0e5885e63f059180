//! Copies bytes between two TCP connections, in both directions, without a buffer for an idle
//! connection.
//!
//! A direction reads into a buffer of the thread and writes it out immediately. Only what the other side
//! does not accept is kept, until it does. A shutdown of one direction is passed on; a reset of one
//! connection resets the other, so that a truncated transfer does not look complete.
//!
//! `splice` is not used: on loopback HAProxy's TCP mode was measured at 0.48 CPU seconds per GiB with it
//! and at 0.47 to 0.57 without, this loop at 0.49 to 0.54. That is not worth two pipes per connection.

use std::{
    cell::{Cell, RefCell},
    io,
    net::Shutdown,
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::TcpStream,
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::stream::{Reason, record::StreamRecord};

/// Bytes per read.
const BUFFER: usize = 64 * 1024;
/// Reads of one direction before it yields to other connections of the thread.
const TURNS: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into());
}

/// Copies until both directions have ended, or returns the reason why not. `cut` ends it at the end of a
/// drain.
pub(super) async fn relay(
    client: &TcpStream,
    backend: &TcpStream,
    idle: Duration,
    cut: &Notify,
    record: &StreamRecord<'_>,
) -> Result<(), Reason> {
    let last = Cell::new(Instant::now());
    let up = Direction {
        from: client,
        to: backend,
        from_fault: Reason::ClientReset,
        to_fault: Reason::BackendReset,
        last: &last,
        passed: &|bytes| record.received(bytes),
    };
    let down = Direction {
        from: backend,
        to: client,
        from_fault: Reason::BackendReset,
        to_fault: Reason::ClientReset,
        last: &last,
        passed: &|bytes| record.sent(bytes),
    };
    let both = async { tokio::try_join!(up.run(), down.run()).map(|_| ()) };
    let ended = tokio::select! {
        ended = both => ended,
        () = silence(&last, idle) => Err(Reason::IdleTimeout),
        () = cut.notified() => Err(Reason::Drained),
    };
    if ended.is_err() {
        for socket in [client, backend] {
            reset(socket);
        }
    }
    ended
}

/// Makes the close of this socket a reset.
pub(super) fn reset(socket: &TcpStream) {
    // if this fails, the close is an ordinary one
    let _best_effort = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// Returns when no bytes have passed for `idle`. The timer is set again only when it fires, not for each
/// read.
async fn silence(last: &Cell<Instant>, idle: Duration) {
    loop {
        let until = last.get() + idle;
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}

struct Direction<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    from_fault: Reason,
    to_fault: Reason,
    last: &'a Cell<Instant>,
    passed: &'a dyn Fn(usize),
}

/// The result of one turn at a readable socket.
enum Turn {
    /// There is nothing more to read for now.
    Empty,
    /// The other side accepts no more; these bytes are left.
    Full(Vec<u8>),
    /// There may be more to read, but other connections are next.
    Yield,
    /// The direction has ended.
    End,
}

impl Direction<'_> {
    async fn run(&self) -> Result<(), Reason> {
        loop {
            self.from.readable().await.map_err(|_| self.from_fault)?;
            match self.turn()? {
                Turn::Empty => {}
                Turn::Full(rest) => self.write_rest(rest).await?,
                Turn::Yield => tokio::task::yield_now().await,
                Turn::End => break,
            }
        }
        // A half-close, because the other direction may still have bytes. It fails if the other side is
        // closed already, which the other direction reports.
        let _best_effort = SockRef::from(self.to).shutdown(Shutdown::Write);
        Ok(())
    }

    fn turn(&self) -> Result<Turn, Reason> {
        SCRATCH.with_borrow_mut(|buffer| {
            for _ in 0..TURNS {
                let read = match self.from.try_read(buffer) {
                    Ok(0) => return Ok(Turn::End),
                    Ok(read) => read,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Ok(Turn::Empty);
                    }
                    Err(_) => return Err(self.from_fault),
                };
                (self.passed)(read);
                self.last.set(Instant::now());
                let mut rest = buffer.get(..read).unwrap_or_default();
                while !rest.is_empty() {
                    match self.to.try_write(rest) {
                        Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return Ok(Turn::Full(rest.to_vec()));
                        }
                        Err(_) => return Err(self.to_fault),
                    }
                }
            }
            Ok(Turn::Yield)
        })
    }

    async fn write_rest(&self, rest: Vec<u8>) -> Result<(), Reason> {
        let mut rest = rest.as_slice();
        while !rest.is_empty() {
            self.to.writable().await.map_err(|_| self.to_fault)?;
            match self.to.try_write(rest) {
                Ok(written) => {
                    self.last.set(Instant::now());
                    rest = rest.get(written..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(self.to_fault),
            }
        }
        Ok(())
    }
}
